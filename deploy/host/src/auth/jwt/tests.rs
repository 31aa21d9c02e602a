//! Tokens of an independent maker: `openssl` and Python's `hmac`, not the code under test.
//!
//! ```text
//! b = lambda x: base64.urlsafe_b64encode(x).rstrip(b'=').decode(); j = lambda x: b(json.dumps(x, separators=(',', ':')).encode())
//! claims = {"sub": "jane", "aud": "driftline", "iss": "https://id", "exp": 2000, "nbf": 1000, "scope": "infer read other"}
//! HS: m = j({"alg": "HS256", "typ": "JWT"}) + '.' + j(claims); m + '.' + b(hmac.new(SECRET, m.encode(), 'sha256').digest())
//! RS: m = j({"alg": "RS256", "kid": "k1"}) + '.' + j(claims); m + '.' + b(`openssl dgst -sha256 -sign rsa.pem` of m)
//! CONFUSED: as HS with the bytes of PUBLIC for the secret, and {"alg": "HS256"}
//! PUBLIC: openssl genrsa 2048 | openssl rsa -pubout; MODULUS: b of `openssl rsa -noout -modulus`
//! ```

use serde_json::json;

use super::*;
use crate::auth::Scope;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HS: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJqYW5lIiwiYXVkIjoiZHJpZnRsaW5lIiwiaXNzIjoiaHR0cHM6Ly9\
    pZCIsImV4cCI6MjAwMCwibmJmIjoxMDAwLCJzY29wZSI6ImluZmVyIHJlYWQgb3RoZXIifQ.hQnEF4UxRcRgXXPzMs9ViptPBSPo\
    8Hnh5f7ioTg8Qto";
const RS: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.eyJzdWIiOiJqYW5lIiwiYXVkIjoiZHJpZnRsaW5lIiwiaXNzIjoiaHR0cHM6Ly9p\
    ZCIsImV4cCI6MjAwMCwibmJmIjoxMDAwLCJzY29wZSI6ImluZmVyIHJlYWQgb3RoZXIifQ.Bj3_ErWW_bW8_k0VXymdADrNfwS0d\
    Jj68PdbCRkPTb3_OHLGp5u5Y9zhovm1_9r_58g_4qQLWD5yTCp5b6soswaWBHKZtBi0wjJKs2EHyyAH6AzxfjKYmxMm2ucM6Fq5_\
    ioZT98Fj39wEbQnBOshqDzOv8KmfpbTFdK0M3mqt2xGfyOTfCT1IMWqqlDtGEbLxotVRM8GmbJMTRH7LAdalNfpe_2XZAiGSj15m\
    6UbvCehtq_tMlSLAAeW0E5MyWu8OzSugXG3DOw_VTDpSP3MBtqTE5SGkz2GWcdV3xvEE4E2hZBCsnAluOL0YDOAvXU0ootb0ItAM\
    i6rkR_TmB3BAw";
const CONFUSED: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIiwiYXVkIjoiZHJpZnRsaW5lIiwiaXNzIjoiaHR0cHM6Ly9pZCIsImV4cCI6MjA\
    wMCwibmJmIjoxMDAwLCJzY29wZSI6ImluZmVyIHJlYWQgb3RoZXIifQ.XHMdS75wYlCSzPJGtAcWkwSa1t1RGniAJs6c9dQWZSM";
const MODULUS: &str = "oXdk-CgmtOnp1uZWKwybejOfeg5tsrdg-f0ol-UhH2DGaeZ-_XvTRjHz-wu7sArydOcWe5-wcGs7dRwEClfFVF_udFj4aLuLjYwc\
    Qzu23GFORoyWkWthtl-4k45inz0w4YjoFcPKqySqWuz44FhNjV3d3aPldrwr2nK4nt0akl4LYpjf2eLSZnOMYf5290oUPqJv3By5\
    4heNbTCwI_GeOQnb3tPjOEq6YrtUsxwDVmyyk1OOz3caWqhOTtrgiklJ2rKkLj_omvVv4fRLgvzNblpw_GPYE081Syuk5F5Sif82\
    Hl3NOX8E_estm-q4AC9b0Xr9SNp75OoV3yL0HJ9Vhw";
const PUBLIC: &str = concat!(
    "-----BEGIN PUBLIC KEY-----
",
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAoXdk+CgmtOnp1uZWKwyb
",
    "ejOfeg5tsrdg+f0ol+UhH2DGaeZ+/XvTRjHz+wu7sArydOcWe5+wcGs7dRwEClfF
",
    "VF/udFj4aLuLjYwcQzu23GFORoyWkWthtl+4k45inz0w4YjoFcPKqySqWuz44FhN
",
    "jV3d3aPldrwr2nK4nt0akl4LYpjf2eLSZnOMYf5290oUPqJv3By54heNbTCwI/Ge
",
    "OQnb3tPjOEq6YrtUsxwDVmyyk1OOz3caWqhOTtrgiklJ2rKkLj/omvVv4fRLgvzN
",
    "blpw/GPYE081Syuk5F5Sif82Hl3NOX8E/estm+q4AC9b0Xr9SNp75OoV3yL0HJ9V
",
    "hwIDAQAB
",
    "-----END PUBLIC KEY-----
",
);

/// Between `nbf` and `exp` of the tokens.
const NOW: i64 = 1_500;

enum By<'a> {
    Secret,
    Public(&'a str),
    Set(serde_json::Value),
}

fn tokens(by: By<'_>, change: impl FnOnce(&mut RawJwt)) -> Result<Tokens, Faults> {
    let dir = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = dir.path().join("key");
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let mut raw = RawJwt { audience: "driftline".into(), leeway: Duration::ZERO, ..RawJwt::default() };
    match by {
        By::Secret => raw.secret_file = file(&format!("{SECRET}\n")),
        By::Public(pem) => raw.public_key_file = file(pem),
        By::Set(set) => raw.jwks_file = file(&set.to_string()),
    }
    change(&mut raw);
    let mut faults = Faults::default();
    let tokens = Tokens::check(&raw, "jwt", &mut faults);
    faults.result(tokens)
}

/// A token of our own making, for claims of every shape.
fn signed(header: &serde_json::Value, claims: &serde_json::Value) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac))
}

fn with(change: &serde_json::Value) -> String {
    let mut claims = json!({"sub": "jane", "aud": "driftline", "exp": 2_000});
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    signed(&json!({"alg": "HS256"}), &claims)
}

#[test]
fn tokens_of_others_making_are_read() {
    let set = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "x": "", "y": ""},
        {"kty": "RSA", "kid": "k1", "alg": "RS256", "use": "sig", "n": MODULUS, "e": "AQAB"},
    ]});
    let issued = |raw: &mut RawJwt| raw.issuer = Some("https://id".into());
    for (by, token) in [(By::Secret, HS), (By::Public(PUBLIC), RS), (By::Set(set), RS)] {
        let caller = tokens(by, issued).unwrap().caller(token, NOW).unwrap();
        assert_eq!((&*caller.name, &*caller.scopes), ("jane", [Scope::Infer, Scope::Read].as_slice()));
    }
}

#[test]
fn an_algorithm_is_never_the_tokens_choice() {
    let by_public = tokens(By::Public(PUBLIC), |_| ()).unwrap();
    assert_eq!(by_public.caller(CONFUSED, NOW), Err(Denied::UnknownSigner));
    assert_eq!(by_public.caller(HS, NOW), Err(Denied::UnknownSigner));
    let by_secret = tokens(By::Secret, |_| ()).unwrap();
    assert_eq!(by_secret.caller(RS, NOW), Err(Denied::UnknownSigner));
    let claims = json!({"sub": "jane", "aud": "driftline", "exp": 2_000});
    for alg in ["none", "None", "hs256", "HS512", ""] {
        let token = signed(&json!({"alg": alg}), &claims);
        assert_eq!(by_secret.caller(&token, NOW), Err(Denied::UnknownSigner), "{alg}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert!(by_secret.caller(&format!("{unsigned}."), NOW).is_err(), "{alg}");
    }
    let critical = signed(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &claims);
    assert_eq!(by_secret.caller(&critical, NOW), Err(Denied::BadToken));
}

#[test]
fn every_changed_byte_of_a_token_refuses_it() {
    let tokens = tokens(By::Secret, |_| ()).unwrap();
    for n in 0..HS.len() {
        let mut changed = HS.as_bytes().to_vec();
        changed[n] = if changed[n] == b'A' { b'B' } else { b'A' };
        // the last digit of 256 bits holds two bits that are padding: base64 refuses them where they are not 0
        assert!(tokens.caller(std::str::from_utf8(&changed).unwrap(), NOW).is_err(), "byte {n}");
    }
}

#[test]
fn claims_that_do_not_hold_refuse_a_token() {
    let tokens = tokens(By::Secret, |raw| raw.issuer = Some("https://id".into())).unwrap();
    let check = |change, now, denied| assert_eq!(tokens.caller(&with(&change), now), Err(denied));
    let mine = || json!({"iss": "https://id"});
    assert!(tokens.caller(&with(&mine()), NOW).is_ok());
    check(mine(), 2_000, Denied::Expired);
    check(json!({"iss": "https://id", "nbf": 1_600}), NOW, Denied::NotYetValid);
    check(json!({"iss": "https://other"}), NOW, Denied::WrongIssuer);
    check(json!({}), NOW, Denied::WrongIssuer);
    check(json!({"iss": "https://id", "aud": ["a", "b"]}), NOW, Denied::WrongAudience);
    check(json!({"iss": "https://id", "aud": "driftline2"}), NOW, Denied::WrongAudience);
    for bad in [
        json!({"exp": "2000"}),
        json!({"exp": null}),
        json!({"exp": -1}),
        json!({"nbf": "soon"}),
        json!({"nbf": null}),
        json!({"aud": 7}),
        json!({"aud": [7]}),
        json!({"iss": ["https://id"]}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"scope": {"admin": true}}),
    ] {
        check(bad, NOW, Denied::BadToken);
    }
    let without_end = signed(&json!({"alg": "HS256"}), &json!({"sub": "jane", "aud": "driftline"}));
    assert_eq!(tokens.caller(&without_end, NOW), Err(Denied::BadToken));
    for nonsense in ["..", "a.b.c", "", &"x".repeat(20_000)] {
        assert!(tokens.caller(nonsense, NOW).is_err(), "{nonsense}");
    }
}

#[test]
fn clocks_may_differ_by_the_leeway_and_no_more() {
    let tokens = tokens(By::Secret, |raw| raw.leeway = Duration::from_secs(30)).unwrap();
    let token = with(&json!({"nbf": 1_000}));
    for (now, good) in [(969, false), (970, true), (2_029, true), (2_030, false)] {
        assert_eq!(tokens.caller(&token, now).is_ok(), good, "{now}");
    }
}

#[test]
fn scopes_come_as_words_or_as_a_list() {
    let tokens = tokens(By::Secret, |raw| raw.scope_claim = "roles".into()).unwrap();
    for roles in [json!("admin ingest nobody"), json!(["admin", "ingest", "x"])] {
        let caller = tokens.caller(&with(&json!({"roles": roles, "scope": "read"})), NOW).unwrap();
        assert_eq!(&*caller.scopes, [Scope::Admin, Scope::Ingest]);
    }
    assert_eq!(&*tokens.caller(&with(&json!({})), NOW).unwrap().scopes, []);
}

#[test]
fn a_key_that_cannot_verify_is_a_fault() {
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let short = json!({"keys": [{"kty": "oct", "k": "AAAA"}]});
    for (by, part) in [
        (By::Public(private), "no RSA public key"),
        (By::Public("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"), "no RSA public key"),
        (By::Set(short), "holds no RSA key"),
        (By::Set(json!([])), "no JSON Web Key Set"),
    ] {
        let faults = tokens(by, |_| ()).unwrap_err().to_string();
        assert!(faults.contains(part), "{part} is not in {faults}");
    }
    let faults = tokens(By::Secret, |raw| {
        raw.jwks_file = Some("absent".into());
        raw.audience = String::new();
    });
    let faults = faults.unwrap_err().to_string();
    for part in ["exactly one", "audience", "absent"] {
        assert!(faults.contains(part), "{part} is not in {faults}");
    }
}
