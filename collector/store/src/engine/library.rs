//! The one place that calls into `libchdb.so`: two C functions, loaded at run time.
#![expect(unsafe_code, reason = "a C library is loaded and called; every call says why it is sound")]

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;

use libloading::Library;

type QueryCommandLine = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// What the hidden command `engine LIBRARY ARGUMENT…` does: becomes clickhouse-local, until standard input ends.
///
/// What goes wrong is said on standard error, which the parent reads.
#[must_use]
pub fn run_child(arguments: &[OsString]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<(), String> {
    let Some((path, arguments)) = arguments.split_first() else {
        return Err("the engine's library is not named: engine LIBRARY ARGUMENT…".to_owned());
    };
    let words = std::iter::once(OsString::from("clickhouse")).chain(arguments.iter().cloned());
    let words: Result<Vec<CString>, _> = words.map(|word| CString::new(word.into_vec())).collect();
    let mut words: Vec<*mut c_char> = words
        .map_err(|error| format!("an argument holds a NUL: {error}"))?
        .into_iter()
        .map(CString::into_raw)
        .collect();
    let count = c_int::try_from(words.len()).map_err(|_| "too many arguments".to_owned())?;
    words.push(std::ptr::null_mut());

    // SAFETY: the initialisers of a library that the configuration names run here, as they would for one linked in.
    let library = unsafe { Library::new(path) }
        .map_err(|error| format!("{} cannot be loaded: {error}", path.to_string_lossy()))?;
    // SAFETY: the types are those of chdb.h: `chdb_result *chdb_query_cmdline(int, char **)` and
    // `const char *chdb_result_error(chdb_result *)`, which chdb keeps stable.
    let (query, error_of) = unsafe {
        let absent = |error| format!("{} is not libchdb: {error}", path.to_string_lossy());
        let query = *library.get::<QueryCommandLine>(b"chdb_query_cmdline\0").map_err(absent)?;
        (query, *library.get::<ResultError>(b"chdb_result_error\0").map_err(absent)?)
    };
    // SAFETY: `words` holds `count` NUL-terminated strings and a null after them, all alive for the call and, as
    // argv may be kept, never freed; the library stays loaded until after the last use of what it returns.
    let message = unsafe {
        let result = query(count, words.as_mut_ptr());
        let error = if result.is_null() { std::ptr::null() } else { error_of(result) };
        if error.is_null() { None } else { Some(CStr::from_ptr(error).to_string_lossy().into_owned()) }
    };
    // the process ends now: unloading would run destructors under threads that may still be there
    std::mem::forget(library);
    message.map_or(Ok(()), Err)
}
