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
