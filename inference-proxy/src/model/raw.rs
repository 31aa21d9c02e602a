//! The bare session loop: what the machine can do with a model when nothing stands around the session.
//!
//! Measurements hold the proxy against this. It is the engine that serves, fed from prepared works by one thread a
//! session: no HTTP, no tokenizer, no queue, no metrics.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use host::config::Faults;

use super::config::RawBatching;
use super::device::{Device, RawCuda};
use super::golden;
use super::onnx;
use super::pairing::{self, Terms};
use super::plan::Work;
use super::runtime::Runtime;
use super::session::Engine;

/// Sessions of one text model, and texts that are tokenized already.
#[derive(Debug)]
pub struct RawLoop {
    engines: Vec<Engine>,
    works: Vec<Work>,
    tolerance: f64,
}

impl RawLoop {
    /// Opens `sessions` sessions of `threads` threads of the text model in `dir`, and tokenizes the texts.
    ///
    /// # Errors
    /// A sentence: the library, the folder, or a text.
    pub fn open(
        dir: &Path,
        onnxruntime: &Path,
        sessions: usize,
        threads: usize,
        texts: &[String],
    ) -> Result<Self, String> {
        Self::open_on(None, dir, onnxruntime, sessions, threads, texts)
    }

    /// The same on a card.
    ///
    /// # Errors
    /// As [`Self::open`], and where the card cannot be used.
    pub fn open_on(
        cuda: Option<&RawCuda>,
        dir: &Path,
        onnxruntime: &Path,
        sessions: usize,
        threads: usize,
        texts: &[String],
    ) -> Result<Self, String> {
        let mut faults = Faults::default();
        let device = cuda.map_or(Device::Cpu, |cuda| Device::Cuda(cuda.clone().check("cuda", &mut faults)));
        if !faults.is_empty() {
            return Err(faults.to_string());
        }
        let runtime = Runtime::load(onnxruntime).map_err(|error| error.to_string())?;
        let batching = RawBatching::default().into();
        let terms = Terms { max_chars: 100_000, intra_threads: Some(threads), device, batching, thorough: false };
        let (report, paired) = pairing::examine(dir, &runtime, terms);
        let paired = paired.ok_or_else(|| report.to_string())?;
        let encoder = paired.encoder.ok_or("the model takes no text")?;
        let encode = |(i, text): (usize, &String)| encoder.encode(i, text.as_str()).map(Work::Tokens);
        let works: Result<Vec<Work>, _> = texts.iter().enumerate().map(encode).collect();
        let works = works.map_err(|error| format!("{error:?}"))?;
        let mut engines = vec![paired.engine];
        while engines.len() < sessions {
            engines.push(paired.factory.make()?);
        }
        let precision = onnx::precision(&paired.folder.model).ok().flatten();
        Ok(Self { engines, works, tolerance: golden::tolerance(precision, device) })
    }

    /// Tokens of each text.
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        let length = |work: &Work| if let Work::Tokens(text) = work { text.ids.len() } else { 0 };
        self.works.iter().map(length).collect()
    }

    /// Runs every group of texts (by their numbers) once, on all sessions at once.
    ///
    /// # Errors
    /// What a session said.
    pub fn pass(&mut self, groups: &[Vec<usize>]) -> Result<Duration, String> {
        let next = AtomicUsize::new(0);
        let works = &self.works;
        let started = Instant::now();
        let work_off = |engine: &mut Engine| -> Result<(), String> {
            while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                let batch: Vec<&Work> = group.iter().map(|&i| &works[i]).collect();
                engine.run(&batch)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let running: Vec<_> = self.engines.iter_mut().map(|engine| scope.spawn(|| work_off(engine))).collect();
            running
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a session's thread panicked".to_owned())))
        })?;
        Ok(started.elapsed())
    }

    /// How far scores of the model may be from those of another device, by its precision.
    #[must_use]
    pub const fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// What the model says of texts (by their numbers) that run together: class probabilities, or its first float output.
    ///
    /// # Errors
    /// What the session said.
    pub fn scores(&mut self, group: &[usize]) -> Result<Vec<Vec<f64>>, String> {
        let engine = self.engines.first_mut().ok_or("there is no session")?;
        let batch: Vec<&Work> = group.iter().map(|&i| &self.works[i]).collect();
        let shares = engine.run(&batch)?;
        shares.into_iter().map(|outputs| Ok(golden::scores(engine.plan(), &outputs?)?.0)).collect()
    }

    /// How long one session takes for one text.
    ///
    /// # Errors
    /// What the session said.
    pub fn time_one(&mut self, text: usize) -> Result<Duration, String> {
        let engine = self.engines.first_mut().ok_or("there is no session")?;
        let started = Instant::now();
        engine.run(&[&self.works[text]])?;
        Ok(started.elapsed())
    }
}
