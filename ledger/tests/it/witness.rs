//! A witness never signs two histories of one log: whatever is asked, in whatever order, whenever it dies.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;

use ambit_ledger::witness::{
    AddCheckpoint, Refusal, TrustedLog, TrustedLogs, Witness, WitnessError, WitnessSigner,
};
use ambit_ledger::{
    LeafHash, Ledger, MemoryTiles, PublishedTree, SignedCheckpoint, TileStore, TreeHash, TreeSize, leaf_hash,
};
use proptest::prelude::*;
use signed_note::Signer;

use crate::support::{key, open, origin, signer};

const NOW: u64 = 1_700_000_000;

pub(crate) fn cosigner() -> WitnessSigner {
    WitnessSigner::from_seed("witness.local/w1", &[7; 32]).unwrap()
}

fn logs() -> TrustedLogs {
    TrustedLogs::new(vec![TrustedLog::new("test.local/*", key()).unwrap()])
}

fn witness<T: TileStore>(store: T) -> Witness<T> {
    Witness::new(store, cosigner(), logs(), 8).unwrap()
}

/// One history of the log: leaves with the same number are equal in two histories up to `shared`.
pub(crate) struct History {
    tree: PublishedTree<Arc<MemoryTiles>>,
}

impl History {
    pub(crate) fn new(name: u8, shared: u64, size: u64) -> Self {
        let leaf = |number: u64| {
            let name = if number < shared { 0 } else { name };
            leaf_hash(&[&[name][..], &number.to_be_bytes()].concat())
        };
        let leaves: Vec<LeafHash> = (0..size).map(leaf).collect();
        let tiles = Arc::new(MemoryTiles::new());
        let mut ledger: Ledger<_> = open(Arc::clone(&tiles)).unwrap();
        ledger.append(&leaves).unwrap();
        ledger.commit(&signer()).unwrap();
        Self { tree: PublishedTree::open(origin(), tiles, &key()).unwrap() }
    }

    fn root(&self, size: u64) -> TreeHash {
        self.tree.root_at(TreeSize(size)).unwrap()
    }

    /// The checkpoint that this log would have signed at that size.
    fn note(&self, size: u64) -> String {
        note(&format!("{}\n{size}\n{}\n", origin(), self.root(size).to_base64()), &signer())
    }

    pub(crate) fn request(&self, old: u64, size: u64) -> AddCheckpoint {
        let proof = if old <= size {
            self.tree.consistency_proof(TreeSize(old), TreeSize(size)).unwrap()
        } else {
            vec![]
        };
        AddCheckpoint { old: TreeSize(old), proof, note: self.note(size) }
    }
}

fn note(text: &str, signer: &dyn Signer) -> String {
    let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    note.add_sigs(&[signer]).unwrap();
    String::from_utf8(note.to_bytes()).unwrap()
}

fn refusal<T: TileStore>(witness: &Witness<T>, request: &AddCheckpoint) -> Refusal {
    match witness.add_checkpoint(request.to_body().as_bytes(), NOW) {
        Err(WitnessError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_grows_is_cosigned_and_the_answer_verifies() {
    let (history, witness) = (History::new(1, 0, 600), witness(MemoryTiles::new()));
    for (old, size) in [(0, 1), (1, 1), (1, 255), (255, 256), (256, 600), (600, 600)] {
        let request = history.request(old, size);
        let answer = witness.add_checkpoint(request.to_body().as_bytes(), NOW + size).unwrap();
        let signed = SignedCheckpoint::verify_for(&origin(), request.note.as_bytes(), &key()).unwrap();
        let read = signed.read_answer(answer.line().as_bytes(), witness.key()).unwrap();
        assert_eq!((read.at(), &read), (NOW + size, &answer), "{old} to {size}");
        // Whoever knows nothing of witnesses still accepts the note; whoever does finds the cosignature.
        let cosigned = signed.with_cosignature(&answer, witness.key()).unwrap();
        let again = SignedCheckpoint::verify_for(&origin(), cosigned.note().as_bytes(), &key()).unwrap();
        assert_eq!(again.checkpoint(), signed.checkpoint());
        assert_eq!(again.cosignature(witness.key()).unwrap(), Some(answer));
        assert_eq!(signed.cosignature(witness.key()).unwrap(), None);
    }
}

#[test]
fn everything_that_does_not_follow_is_refused_for_its_own_reason() {
    let (honest, forked) = (History::new(1, 0, 600), History::new(2, 100, 600));
    let witness = witness(MemoryTiles::new());
    witness.add_checkpoint(honest.request(0, 300).to_body().as_bytes(), NOW).unwrap();

    // A log that was rolled back knows less than the witness; one that goes on from there has another beginning.
    let back = refusal(&witness, &honest.request(0, 200));
    assert!(matches!(back, Refusal::Conflict { remembered: TreeSize(300), .. }), "{back}");
    let ahead = refusal(&witness, &honest.request(300, 200));
    assert!(matches!(ahead, Refusal::OldAhead { .. }), "{ahead}");
    let fork = refusal(&witness, &forked.request(300, 600));
    assert!(matches!(fork, Refusal::Inconsistent { .. }), "{fork}");
    let same_size = refusal(&witness, &forked.request(300, 300));
    assert!(matches!(same_size, Refusal::Forked { size: TreeSize(300), .. }), "{same_size}");

    let mut bent = honest.request(300, 600);
    bent.proof.pop();
    assert!(matches!(refusal(&witness, &bent), Refusal::Inconsistent { .. }));
    let mut padded = honest.request(300, 300);
    padded.proof.push(honest.root(1));
    assert!(matches!(refusal(&witness, &padded), Refusal::Inconsistent { .. }));

    let stranger = ambit_ledger::CheckpointSigner::from_seed("test.local", &[43; 32]).unwrap();
    let text = format!("{}\n600\n{}\n", origin(), honest.root(600).to_base64());
    let by_a_stranger = AddCheckpoint { note: note(&text, &stranger), ..honest.request(300, 600) };
    assert!(matches!(refusal(&witness, &by_a_stranger), Refusal::NotSigned { .. }));
    let elsewhere = text.replacen("test.local", "other.local", 1);
    let unknown = AddCheckpoint { note: note(&elsewhere, &signer()), ..honest.request(300, 600) };
    assert!(matches!(refusal(&witness, &unknown), Refusal::UnknownOrigin { .. }));
    // The name alone is not below itself.
    let bare = AddCheckpoint {
        note: note(&format!("test.local\n0\n{}\n", TreeHash::EMPTY_ROOT.to_base64()), &signer()),
        ..honest.request(0, 1)
    };
    assert!(matches!(refusal(&witness, &bare), Refusal::UnknownOrigin { .. }));

    // Nothing of all that has moved it: the honest log goes on.
    witness.add_checkpoint(honest.request(300, 600).to_body().as_bytes(), NOW).unwrap();
}

#[test]
fn a_first_checkpoint_needs_no_proof_and_allows_none() {
    let history = History::new(1, 0, 9);
    let witness = witness(MemoryTiles::new());
    let mut request = history.request(0, 9);
    request.proof = vec![history.root(1)];
    assert!(matches!(refusal(&witness, &request), Refusal::Inconsistent { .. }));
    let false_root = note(&format!("{}\n0\n{}\n", origin(), history.root(1).to_base64()), &signer());
    let empty = AddCheckpoint { old: TreeSize(0), proof: vec![], note: false_root };
    assert!(matches!(refusal(&witness, &empty), Refusal::Forked { size: TreeSize(0), .. }));
    witness.add_checkpoint(history.request(0, 0).to_body().as_bytes(), NOW).unwrap();
    witness.add_checkpoint(history.request(0, 9).to_body().as_bytes(), NOW).unwrap();
}

#[test]
fn a_second_history_of_the_same_size_is_kept_as_evidence() {
    let (honest, forked) = (History::new(1, 0, 50), History::new(2, 20, 50));
    let store = Arc::new(MemoryTiles::new());
    let witness = witness(Arc::clone(&store));
    witness.add_checkpoint(honest.request(0, 50).to_body().as_bytes(), NOW).unwrap();
    refusal(&witness, &forked.request(50, 50));
    let kept: Vec<String> = store.paths().into_iter().filter(|path| path.ends_with(".forked")).collect();
    let evidence = store.read(&kept[0]).unwrap().unwrap();
    assert_eq!(String::from_utf8(evidence).unwrap(), forked.note(50));
}

#[test]
fn what_the_witness_did_not_write_stops_it_instead_of_being_forgotten() {
    let history = History::new(1, 0, 60);
    let store = Arc::new(MemoryTiles::new());
    let first = witness(Arc::clone(&store));
    first.add_checkpoint(history.request(0, 50).to_body().as_bytes(), NOW).unwrap();
    let path = store.paths().remove(0);
    let written = store.read(&path).unwrap().unwrap();
    // Cut off, emptied, of a smaller tree that only the log signed, or by another witness.
    let other = WitnessSigner::from_seed("witness.local/w1", &[8; 32]).unwrap();
    for bytes in [&written[..written.len() / 2], b"", history.note(20).as_bytes()] {
        store.write(&path, bytes).unwrap();
        let asked = first.add_checkpoint(history.request(50, 60).to_body().as_bytes(), NOW);
        assert!(matches!(asked, Err(WitnessError::Damaged { .. })), "{asked:?}");
    }
    store.write(&path, &written).unwrap();
    let foreign = Witness::new(Arc::clone(&store), other, logs(), 8).unwrap();
    let asked = foreign.add_checkpoint(history.request(50, 60).to_body().as_bytes(), NOW);
    assert!(matches!(asked, Err(WitnessError::Damaged { .. })), "{asked:?}");
    first.add_checkpoint(history.request(50, 60).to_body().as_bytes(), NOW).unwrap();
}

#[test]
fn a_witness_has_a_key_of_its_own_and_bounded_room() {
    let own = WitnessSigner::from_seed("test.local", &[42; 32]).unwrap();
    let refused = Witness::new(MemoryTiles::new(), own, logs(), 8);
    assert!(matches!(refused, Err(WitnessError::OwnLog { .. })));

    let full = Witness::new(MemoryTiles::new(), cosigner(), logs(), 1).unwrap();
    let empty = TreeHash::EMPTY_ROOT.to_base64();
    let ask = |number: u32| {
        let note = note(&format!("test.local/x/{number}\n0\n{empty}\n"), &signer());
        let request = AddCheckpoint { old: TreeSize(0), proof: vec![], note };
        full.add_checkpoint(request.to_body().as_bytes(), NOW)
    };
    ask(0).unwrap();
    assert!(matches!(ask(1), Err(WitnessError::Full { .. })));
    ask(0).unwrap();
}

/// What happens to the machine in the write of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Lives,
    /// It dies before the bytes are durable.
    DiesBefore,
    /// It dies when they are, and before anybody is answered.
    DiesAfter,
}

#[derive(Debug)]
struct Machine {
    disk: Arc<MemoryTiles>,
    fate: Mutex<Fate>,
    /// The control: a disk that says it has written and has not.
    lies: bool,
}

impl TileStore for Machine {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let fate = *self.fate.lock().unwrap();
        if fate != Fate::DiesBefore && !self.lies {
            self.disk.write(path, bytes)?;
        }
        if fate == Fate::Lives { Ok(()) } else { Err(io::Error::other("the machine went off")) }
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }
}

/// One request: of which history, from which size (or from what the witness says it remembers), to which, and what
/// happens meanwhile.
type Step = (bool, Option<u64>, u64, Fate);

fn steps(largest: u64) -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![4 => Just(Fate::Lives), 1 => Just(Fate::DiesBefore), 1 => Just(Fate::DiesAfter)];
    let old = proptest::option::weighted(0.2, 0..=largest);
    prop::collection::vec((any::<bool>(), old, 0..=largest, fate), 1..24)
}

/// Plays the steps; returns every tree that was cosigned and whose cosignature left the witness.
fn play(histories: &[History; 2], steps: &[Step], lies: bool) -> Vec<(u64, TreeHash)> {
    let disk = Arc::new(MemoryTiles::new());
    let mut left = Vec::new();
    for (second, old, size, fate) in steps {
        let history = &histories[usize::from(*second)];
        // Every step is a new process: nothing is remembered but what the disk has.
        let machine = Machine { disk: Arc::clone(&disk), fate: Mutex::new(*fate), lies };
        let witness = witness(machine);
        let mut old = old.unwrap_or(0);
        for _ in 0..2 {
            let request = history.request(old, *size);
            match witness.add_checkpoint(request.to_body().as_bytes(), NOW) {
                Ok(cosignature) => {
                    let signed = SignedCheckpoint::verify(request.note.as_bytes(), &key()).unwrap();
                    signed.read_answer(cosignature.line().as_bytes(), witness.key()).unwrap();
                    left.push((*size, history.root(*size)));
                    break;
                }
                // As a log does that was told where the witness is.
                Err(WitnessError::Refused(Refusal::Conflict { remembered, .. })) => old = remembered.0,
                Err(_) => break,
            }
        }
    }
    left
}

/// Whether all trees are of one history.
fn one_history(histories: &[History; 2], trees: &[(u64, TreeHash)]) -> bool {
    histories.iter().any(|history| trees.iter().all(|(size, root)| history.root(*size) == *root))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Forks never get two cosignatures, in whatever order they are asked for and whenever the witness dies.
    #[test]
    fn cosignatures_are_of_one_history(shared in 0_u64..40, steps in steps(60)) {
        let histories = [History::new(1, shared, 60), History::new(2, shared, 60)];
        let trees = play(&histories, &steps, false);
        prop_assert!(one_history(&histories, &trees), "{trees:?}");
    }

    #[test]
    fn requests_round_trip(old in 0_u64..50, more in 0_u64..50) {
        let request = History::new(1, 0, 100).request(old, old + more);
        prop_assert_eq!(AddCheckpoint::parse(request.to_body().as_bytes()).unwrap(), request);
    }

    /// Whatever comes over the network, the answer is a refusal.
    #[test]
    fn garbage_is_refused(cut in 0_usize..400, byte in any::<u8>()) {
        let history = History::new(1, 0, 40);
        let witness = witness(MemoryTiles::new());
        witness.add_checkpoint(history.request(0, 20).to_body().as_bytes(), NOW).unwrap();
        let mut body = history.request(20, 40).to_body().into_bytes();
        let place = cut % body.len();
        if body[place] != byte {
            body[place] = byte;
            let asked = witness.add_checkpoint(&body, NOW);
            prop_assert!(matches!(asked, Err(WitnessError::Refused(_))), "byte {place}: {asked:?}");
        }
    }
}

/// The control: a disk that loses what it said was durable leads to two histories, and the check above sees that.
#[test]
fn a_disk_that_lies_is_noticed_by_the_check() {
    let histories = [History::new(1, 10, 60), History::new(2, 10, 60)];
    let steps = [(false, None, 30, Fate::Lives), (true, None, 40, Fate::Lives)];
    assert!(!one_history(&histories, &play(&histories, &steps, true)));
    assert!(one_history(&histories, &play(&histories, &steps, false)));
}

/// Killed when the new tree is durable and nobody was answered: the log is told the size and gets its cosignature, a
/// fork gets none. Killed before: the witness is where it was.
#[test]
fn dying_between_memory_and_answer_lets_no_fork_through() {
    let histories = [History::new(1, 10, 60), History::new(2, 10, 60)];
    for (fate, expected) in [(Fate::DiesAfter, vec![(30, histories[0].root(30))]), (Fate::DiesBefore, vec![])]
    {
        let died = [(false, None, 30, fate)];
        assert_eq!(play(&histories, &died, false), []);
        let again =
            [(false, None, 30, fate), (true, Some(30), 40, Fate::Lives), (false, None, 30, Fate::Lives)];
        let trees = play(&histories, &again, false);
        if fate == Fate::DiesAfter {
            assert_eq!(trees, expected, "{fate:?}");
        } else {
            assert!(one_history(&histories, &trees), "{fate:?}: {trees:?}");
        }
    }
}

#[test]
fn of_two_histories_asked_for_at_once_one_is_cosigned() {
    for _ in 0..20 {
        let histories = [History::new(1, 5, 40), History::new(2, 5, 40)];
        let witness = witness(MemoryTiles::new());
        let trees: Vec<_> = std::thread::scope(|scope| {
            let ask = |history: &History, size: u64| {
                let body = history.request(0, size).to_body();
                let signed = witness.add_checkpoint(body.as_bytes(), NOW).is_ok();
                signed.then(|| (size, history.root(size)))
            };
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let history = &histories[number % 2];
                    scope.spawn(move || ask(history, 20 + number as u64))
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(trees.len(), 1, "old 0 is right once");
    }
}
