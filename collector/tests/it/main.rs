//! The collector against the real engine: what it answers, and that nothing is lost or doubled however it is killed.
#![allow(clippy::unwrap_used)]

mod answers;
mod between;
mod database;
mod erase;
mod feedback;
mod house;
mod kills;
mod kserve;
mod quarantine;
mod trouble;
