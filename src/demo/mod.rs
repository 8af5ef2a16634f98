//! `ambit demo`: everything at once, with a fleet of agents and a receiver that carries out revocations.

pub mod receiver;
