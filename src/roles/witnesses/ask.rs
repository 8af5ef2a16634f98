//! One question to one witness: a checkpoint, a proof from what the witness remembers, and what it answers.

use crate::config::LedgerWitness;
use ambit_enforcement::outbound::{Answer, Outbound};
use ambit_ingest::cosigned::Cosigned;
use ambit_ingest::{Ledgers, origin};
use ambit_ledger::witness::{AddCheckpoint, WitnessKey};
use ambit_ledger::{FsTiles, PublishedTree, SignedCheckpoint, TreeSize};
use ambit_schemas::Shard;
use anyhow::{Context, bail};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Most bytes of an answer: a few signature lines, those of other algorithms among them.
const ANSWER_BYTES_MAX: usize = 32 << 10;
/// Characters of an answer that are told when it is none that can be understood.
const TOLD_CHARS: usize = 200;
/// Questions of one round for one shard: the witness's size may not be the one that is thought, and may change once.
const TRIES: usize = 3;

/// What a witness says of a shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has cosigned so many leaves, and that is kept.
    Cosigned(u64),
    /// It remembers what this ledger does not hold, for people.
    Contradicted(String),
}

/// Asks one witness.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    key: WitnessKey,
    outbound: Outbound,
    ledgers: Ledgers,
}

/// A shard's ledger as it is published at this moment.
struct Published {
    tree: PublishedTree<FsTiles>,
    newest: SignedCheckpoint,
}

impl Asker {
    pub(super) fn new(witness: &LedgerWitness, ledgers: &Ledgers) -> anyhow::Result<Self> {
        let (key, address) = (witness.key()?, witness.address()?);
        let patience = Duration::from_millis(witness.timeout_ms);
        let outbound = Outbound::new(address, witness.allow_private, patience, ANSWER_BYTES_MAX)
            .with_context(|| format!("the witness {} cannot be asked", key.name()))?;
        Ok(Self { key, outbound, ledgers: ledgers.clone() })
    }

    pub(super) fn name(&self) -> &str {
        self.key.name()
    }

    /// Has the newest checkpoint of a shard cosigned.
    ///
    /// # Errors
    /// When there is no answer, or none that can be used: it is to be asked again.
    pub(super) async fn ask(&self, shard: Shard) -> anyhow::Result<Outcome> {
        let mut old = self.remembered(shard).await?;
        for _ in 0..TRIES {
            let (newest, request) = match self.prepare(shard, old).await? {
                Ok(prepared) => prepared,
                Err(what) => return Ok(Outcome::Contradicted(what)),
            };
            let answer = self.outbound.post("text/plain", request.to_body().into_bytes()).await?;
            match answer.status {
                200 => return self.keep(shard, newest, answer.body).await.map(Outcome::Cosigned),
                409 => {
                    let told = size(&answer)?;
                    if told == old {
                        return Ok(Outcome::Contradicted(format!(
                            "{shard}: the witness {} has cosigned another tree of {told} leaves: the log was forked, or \
                             rolled back and written anew",
                            self.key.name()
                        )));
                    }
                    old = told;
                }
                422 => {
                    return Ok(Outcome::Contradicted(format!(
                        "{shard}: the first {old} leaves are not those that the witness {} has cosigned: history was \
                         rewritten",
                        self.key.name()
                    )));
                }
                status => bail!("the witness {} answered {status}: {}", self.key.name(), shown(&answer.body)),
            }
        }
        bail!("the witness {} says another size each time it is asked for {shard}", self.key.name())
    }

    /// The size up to which the witness is known to have cosigned; 0 when that is not known.
    async fn remembered(&self, shard: Shard) -> anyhow::Result<TreeSize> {
        let (cosigned, key) = (self.cosigned(shard)?, self.key.clone());
        let newest = spawn_blocking(move || cosigned.newest(&key)).await?;
        Ok(newest
            .inspect_err(|error| tracing::warn!(%shard, "{error}"))
            .ok()
            .flatten()
            .map_or(TreeSize(0), |witnessed| witnessed.signed.checkpoint().size))
    }

    /// What to ask, or what is wrong when the witness has more than there is.
    async fn prepare(
        &self,
        shard: Shard,
        old: TreeSize,
    ) -> anyhow::Result<Result<(SignedCheckpoint, AddCheckpoint), String>> {
        let (asker, name) = (self.clone(), self.key.name().to_owned());
        spawn_blocking(move || {
            // A checkpoint is durable here before anybody hears of it: a witness cannot have more than is on this disk,
            // whichever process wrote it, unless it was taken away since.
            let published = asker.published(shard)?;
            let size = published.newest.checkpoint().size;
            if old > size {
                return Ok(Err(format!(
                    "{shard}: the witness {name} has cosigned {old} leaves, the ledger has {size}: it was rolled back to \
                     an older copy"
                )));
            }
            let proof = published.tree.consistency_proof(old, size)?;
            let note = published.newest.note().to_owned();
            Ok(Ok((published.newest, AddCheckpoint { old, proof, note })))
        })
        .await?
    }

    fn published(&self, shard: Shard) -> anyhow::Result<Published> {
        let (origin, tiles) =
            (origin(&self.ledgers.log_name, shard)?, FsTiles::new(self.ledgers.shard_dir(shard)));
        let tree = PublishedTree::open(origin, tiles, self.ledgers.signer.public_key())?;
        let newest =
            tree.checkpoint().cloned().with_context(|| format!("{shard} has no checkpoint any more"))?;
        Ok(Published { tree, newest })
    }

    /// Checks what the witness signed, and keeps it. Returns how many leaves it covers.
    async fn keep(&self, shard: Shard, signed: SignedCheckpoint, answer: Vec<u8>) -> anyhow::Result<u64> {
        let cosignature = signed.read_answer(&answer, &self.key).with_context(|| {
            format!("the witness {} answered something else than a cosignature", self.key.name())
        })?;
        let (cosigned, key, size) = (self.cosigned(shard)?, self.key.clone(), signed.checkpoint().size.0);
        spawn_blocking(move || cosigned.add(&signed, &cosignature, &key)).await??;
        Ok(size)
    }

    fn cosigned(&self, shard: Shard) -> anyhow::Result<Cosigned> {
        let origin = origin(&self.ledgers.log_name, shard)?;
        let key = self.ledgers.signer.public_key().clone();
        Ok(Cosigned::new(self.ledgers.shard_dir(shard), origin, key))
    }
}

/// The size in a refusal.
fn size(answer: &Answer) -> anyhow::Result<TreeSize> {
    let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim_end();
    let size = text.parse().ok().filter(|size: &u64| size.to_string() == text);
    size.map(TreeSize).with_context(|| {
        format!("a witness refused with 409 and no size ({}): {}", answer.media_type, shown(&answer.body))
    })
}

/// The beginning of an answer for the log, without what could disturb one.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars()
        .take(TOLD_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Witness, WitnessedLog};
    use crate::roles::witness;
    use ambit_ingest::outside::{Board, Outside};
    use ambit_ledger::{CheckpointSigner, Ledger, leaf_hash};
    use ambit_schemas::Topic;
    use std::path::Path;
    use std::sync::Arc;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    const SHARD: Shard = Shard::new(Topic::Events, 0);

    fn ledgers(dir: &Path) -> Ledgers {
        let signer = Arc::new(CheckpointSigner::from_seed("log.test", &[7; 32]).unwrap());
        let (board, outside) = (Board::default(), Outside::default());
        Ledgers { dir: dir.to_owned(), log_name: "log.test".into(), signer, board, outside }
    }

    /// Brings the shard's ledger to a size, with the leaves of one of two histories.
    fn grow(ledgers: &Ledgers, history: u8, size: u64) {
        let (origin, tiles) = (origin("log.test", SHARD).unwrap(), FsTiles::new(ledgers.shard_dir(SHARD)));
        let mut ledger = Ledger::open(origin, tiles, ledgers.signer.public_key().clone()).unwrap();
        let leaves: Vec<_> = (ledger.size().0..size)
            .map(|number| leaf_hash(&[number.to_le_bytes(), [history; 8]].concat()))
            .collect();
        ledger.append(&leaves).unwrap();
        ledger.commit(&ledgers.signer).unwrap();
    }

    /// The witness as it is served, and who asks it.
    async fn witness(dir: &Path, ledgers: &Ledgers, served: &mut JoinSet<anyhow::Result<()>>) -> Asker {
        let log = WitnessedLog { origin: "log.test/*".into(), key: ledgers.signer.public_key().to_string() };
        let config = Config {
            data_dir: dir.to_owned(),
            witness: Some(Witness { logs: vec![log], ..Witness::default() }),
            ..Config::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = LedgerWitness {
            url: format!("http://{}", listener.local_addr().unwrap()),
            key: witness::signer(&config).unwrap().public_key().to_string(),
            require: false,
            allow_private: true,
            timeout_ms: 5_000,
        };
        let service = witness::open(&config, &Arc::default()).unwrap();
        served.spawn(witness::serve(service, listener, CancellationToken::new()));
        Asker::new(&options, ledgers).unwrap()
    }

    fn contradiction(outcome: Outcome) -> String {
        match outcome {
            Outcome::Contradicted(what) => what,
            Outcome::Cosigned(leaves) => panic!("{leaves} leaves were cosigned"),
        }
    }

    #[tokio::test]
    async fn a_ledger_that_grows_is_cosigned_also_when_it_forgot_that_it_was() {
        let (dir, mut served) = (tempfile::tempdir().unwrap(), JoinSet::new());
        let ledgers = ledgers(&dir.path().join("ledger"));
        let asker = witness(dir.path(), &ledgers, &mut served).await;
        assert!(asker.ask(SHARD).await.is_err(), "nothing is signed yet");
        for size in [3, 300, 300, 700] {
            grow(&ledgers, 1, size);
            assert_eq!(asker.ask(SHARD).await.unwrap(), Outcome::Cosigned(size));
        }
        std::fs::remove_dir_all(ledgers.shard_dir(SHARD).join("cosigned")).unwrap();
        grow(&ledgers, 1, 900);
        assert_eq!(asker.remembered(SHARD).await.unwrap(), TreeSize(0));
        assert_eq!(asker.ask(SHARD).await.unwrap(), Outcome::Cosigned(900));
        assert_eq!(asker.remembered(SHARD).await.unwrap(), TreeSize(900));
    }

    #[tokio::test]
    async fn every_way_to_take_history_back_is_told_apart() {
        let (dir, mut served) = (tempfile::tempdir().unwrap(), JoinSet::new());
        let honest = ledgers(&dir.path().join("ledger"));
        grow(&honest, 1, 500);
        let asker = witness(dir.path(), &honest, &mut served).await;
        assert_eq!(asker.ask(SHARD).await.unwrap(), Outcome::Cosigned(500));

        let elsewhere = |name: &str, history, size| {
            let ledgers = ledgers(&dir.path().join(name));
            grow(&ledgers, history, size);
            Asker { ledgers, ..asker.clone() }
        };
        let rolled_back = elsewhere("older", 1, 400).ask(SHARD).await.unwrap();
        assert!(contradiction(rolled_back).contains("500 leaves, the ledger has 400"));
        let rewritten = elsewhere("rewritten", 2, 600).ask(SHARD).await.unwrap();
        assert!(contradiction(rewritten).contains("the first 500 leaves are not those"));
        let forked = elsewhere("forked", 2, 500).ask(SHARD).await.unwrap();
        assert!(contradiction(forked).contains("another tree of 500 leaves"));
        // The witness was moved by none of them.
        grow(&honest, 1, 600);
        assert_eq!(asker.ask(SHARD).await.unwrap(), Outcome::Cosigned(600));
    }

    #[tokio::test]
    async fn what_somebody_else_signed_is_not_kept() {
        let (dir, mut served) = (tempfile::tempdir().unwrap(), JoinSet::new());
        let ledgers = ledgers(&dir.path().join("ledger"));
        grow(&ledgers, 1, 5);
        let asker = witness(dir.path(), &ledgers, &mut served).await;
        let stranger = ambit_ledger::witness::WitnessSigner::from_seed(asker.name(), &[9; 32]).unwrap();
        let fooled = Asker { key: stranger.public_key().clone(), ..asker.clone() };
        let told = format!("{:#}", fooled.ask(SHARD).await.unwrap_err());
        assert!(told.contains("something else than a cosignature"), "{told}");
        assert!(!ledgers.shard_dir(SHARD).join("cosigned").exists());
        let nobody = "http://127.0.0.1:1/add-checkpoint".parse().unwrap();
        let outbound = Outbound::new(nobody, true, Duration::from_secs(5), ANSWER_BYTES_MAX).unwrap();
        let gone = Asker { outbound, ..asker.clone() }.ask(SHARD).await.unwrap_err();
        assert!(gone.is::<ambit_enforcement::outbound::OutboundError>(), "{gone:#}");
    }

    #[test]
    fn sizes_are_read_strictly_and_answers_are_shown_without_control_characters() {
        let answer =
            |body: &[u8]| Answer { status: 409, media_type: "text/x.tlog.size".into(), body: body.into() };
        assert_eq!(size(&answer(b"17\n")).unwrap(), TreeSize(17));
        for bad in [&b""[..], b"x", b"017\n", b"-1", b"1 2", b"\xff"] {
            assert!(size(&answer(bad)).is_err(), "{bad:?}");
        }
        assert_eq!(shown(b"a\x1b[31m\nb"), "a [31m b");
    }
}
