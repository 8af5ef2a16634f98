//! The start of what stores: ingest, the table's upkeep, the scrubber, and what tells others of checkpoints.

use super::{Process, shards};
use crate::roles::checkpoints;
use crate::roles::maintain::Maintain;
use crate::roles::parts::Parts;
use crate::roles::witnesses;
use crate::runtime::supervisor::{OnError, Stage, on_thread};
use crate::simulate::now;
use ambit_ingest::scrub::Scrubber;
use ambit_ingest::verify::Verification;
use ambit_store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

impl Process {
    pub(super) async fn start_ingest(&mut self) -> anyhow::Result<()> {
        let parts = Parts { config: &self.config };
        let ledgers = parts.ledgers()?;
        self.tell_of_checkpoints(&ledgers)?;
        let store = self.store().await?;
        self.start_scrubber(&store, &ledgers)?;
        self.start_maintain(&ledgers).await?;
        let service = ambit_ingest::Service {
            options: self.config.ingest.clone(),
            kafka: self.config.kafka.clone(),
            store,
            ledgers,
            producer: Parts { config: &self.config }.prompt_producer("ambit-ingest")?,
            clock: now,
            handle: self.handles.ingest.clone(),
        };
        let runtime = Handle::current();
        self.supervisor.spawn(Stage::Storage, "ingest", OnError::Restart, move |shutdown| {
            let (service, runtime) = (service.clone(), runtime.clone());
            on_thread("ingest", move || Ok(service.run(&runtime, &shutdown)?))
        });
        Ok(())
    }

    async fn start_maintain(&mut self, ledgers: &ambit_ingest::Ledgers) -> anyhow::Result<()> {
        if !self.config.store.enabled {
            return Ok(());
        }
        let maintain = Maintain {
            store: self.store().await?,
            location: Parts { config: &self.config }.store_options(),
            ledgers: ledgers.clone(),
            shards: shards(&self.config),
            payloads: Parts { config: &self.config }.payloads()?,
            options: self.config.store.clone(),
            counters: Arc::clone(&self.handles.maintain),
        };
        self.supervisor.spawn(Stage::Storage, "maintenance", OnError::Restart, move |shutdown| {
            maintain.clone().run(shutdown)
        });
        Ok(())
    }

    /// Starts what reads everything stored again and compares it with the ledger, unless it is switched off.
    fn start_scrubber(&mut self, store: &Store, ledgers: &ambit_ingest::Ledgers) -> anyhow::Result<()> {
        let options = &self.config.ledger;
        if options.scrub_every_seconds == 0 {
            return Ok(());
        }
        let scrubber = Scrubber {
            verification: Verification {
                store: store.clone(),
                ledger_dir: ledgers.dir.clone(),
                log_name: ledgers.log_name.clone(),
                key: ledgers.signer.public_key().clone(),
            },
            shards: shards(&self.config),
            every: Duration::from_secs(options.scrub_every_seconds),
            rows_per_second: options.scrub_rows_per_second,
            producer: Parts { config: &self.config }.prompt_producer("ambit-scrubber")?,
            handle: self.handles.ingest.clone(),
            clock: now,
        };
        self.supervisor.spawn(Stage::Storage, "scrubber", OnError::Restart, move |shutdown| {
            let scrubber = scrubber.clone();
            async move { Ok(scrubber.run(shutdown).await?) }
        });
        Ok(())
    }

    /// Starts what tells others of signed checkpoints. Each fails and is started again by itself.
    fn tell_of_checkpoints(&mut self, ledgers: &ambit_ingest::Ledgers) -> anyhow::Result<()> {
        let sender = ambit_bus::CheckpointSender::new(&self.config.kafka)?;
        let board = ledgers.board.clone();
        self.supervisor.spawn(Stage::Storage, "checkpoints", OnError::Restart, move |shutdown| {
            checkpoints::kafka(sender.clone(), board.clone(), shutdown)
        });
        if let Some(mirror) = self.config.ledger.mirror()? {
            let every = Duration::from_secs(self.config.ledger.mirror_every_seconds);
            let board = ledgers.board.clone();
            self.supervisor.spawn(Stage::Storage, "mirror", OnError::Restart, move |shutdown| {
                checkpoints::mirror(mirror.clone(), every, board.clone(), shutdown)
            });
        }
        witnesses::start(&mut self.supervisor, &self.config.ledger, ledgers, &self.handles.witnesses)
    }
}
