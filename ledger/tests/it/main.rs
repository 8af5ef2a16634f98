//! The ledger from outside, as the store, an auditor and a crash see it.

#[cfg(test)]
mod checkpoints;
#[cfg(test)]
mod crashes;
#[cfg(test)]
#[cfg(unix)]
mod key_files;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod reopening;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod verifying;
#[cfg(test)]
mod witness;
#[cfg(test)]
mod witness_vectors;
