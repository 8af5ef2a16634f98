//! From records to events that are ready to be judged: reading, signatures, compilation. Each record stands for itself
//! here, so a large batch is spread over the processors; what follows is done to one event after the other.

use ambit_analytics::{Options, Prepared, Preparer};
use ambit_schemas::{Record, Sequenced, decode};
use std::borrow::Cow;
use std::sync::Arc;
use std::thread;

/// Records of a batch that one thread takes at least: for fewer, starting the thread costs more than it saves.
const RECORDS_PER_THREAD: usize = 512;
/// Threads at most: judging is one thread and would not keep up with more.
const THREADS_MAX: usize = 8;

/// Prepares batches of records.
#[derive(Debug)]
pub(crate) struct Intake {
    preparers: Vec<Preparer>,
}

impl Intake {
    pub(crate) fn new(options: &Arc<Options>) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        Self { preparers: (0..threads).map(|_| Preparer::new(Arc::clone(options))).collect() }
    }

    /// For each record its event, or `None` when it is none. In the order of the records.
    pub(crate) fn prepare(&mut self, records: &[Record]) -> Vec<Option<Prepared<'static>>> {
        let parts = (records.len() / RECORDS_PER_THREAD).clamp(1, self.preparers.len().max(1));
        if parts == 1 {
            let preparer = self.preparers.first_mut();
            return preparer.map_or_else(Vec::new, |preparer| each(preparer, records));
        }
        let size = records.len().div_ceil(parts);
        thread::scope(|scope| {
            let shares = records.chunks(size).zip(&mut self.preparers);
            let working: Vec<_> =
                shares.map(|(share, preparer)| scope.spawn(move || each(preparer, share))).collect();
            let mut prepared = Vec::with_capacity(records.len());
            for share in working {
                match share.join() {
                    Ok(share) => prepared.extend(share),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            prepared
        })
    }
}

fn each(preparer: &mut Preparer, records: &[Record]) -> Vec<Option<Prepared<'static>>> {
    records
        .iter()
        .map(|record| {
            let item = decode(record).ok()?;
            let event = Sequenced { shard: record.shard, offset: record.offset, item };
            Some(preparer.prepare(Cow::Owned(event)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::{Shard, Timestamp, Topic};

    #[test]
    fn a_large_batch_keeps_its_order_and_a_bad_record_its_place() {
        let approver = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let options = crate::simulate::Options {
            start: Timestamp::from_micros(1_767_225_600_000_000),
            ..crate::simulate::Options::default()
        };
        let events = crate::simulate::Simulation::new(options, approver).take(5 * RECORDS_PER_THREAD);
        let mut records: Vec<Record> = events
            .zip(0..)
            .map(|(simulated, offset)| {
                let outgoing = ambit_schemas::encode(&simulated.event).unwrap();
                Record {
                    shard: Shard::new(Topic::Events, 0),
                    offset,
                    timestamp_us: simulated.event.time.micros(),
                    key: Some(outgoing.key),
                    headers: outgoing.headers,
                    value: Some(outgoing.value),
                }
            })
            .collect();
        records[700].value = Some(b"{".to_vec().into());
        let judging = Arc::new(Options::default());
        let mut intake = Intake { preparers: (0..3).map(|_| Preparer::new(Arc::clone(&judging))).collect() };
        let prepared = intake.prepare(&records);
        assert_eq!(prepared.len(), records.len());
        for (record, prepared) in records.iter().zip(&prepared) {
            let offset = prepared.as_ref().map(|prepared| prepared.event().offset);
            assert_eq!(offset, (record.offset != 700).then_some(record.offset));
        }
        assert!(intake.prepare(&[]).is_empty());
    }
}
