//! Witnesses as other programs see them: published keys and requests, notes made with another implementation, and every
//! bound of the format.

use ambit_ledger::witness::{
    AddCheckpoint, MAX_PROOF_LINES, MAX_REQUEST_BYTES, Refusal, TrustedLog, TrustedLogs, Witness, WitnessKey,
};
use ambit_ledger::{CheckpointError, CheckpointKey, KeyError, MemoryTiles, SignedCheckpoint, TreeSize};

use crate::witness::{History, cosigner};

/// Keys whose secrets are the bytes 0 to 31 and 32 to 63; notes and keys were made with Python's `cryptography`.
const LOG_KEY: &str = "log.example/a+d870bab6+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const WITNESS_KEY: &str = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
const NOTE: &str = "log.example/a\n1\niipcm3aIJ95alVLDigRMZpWcaPbS8htSYK9U0vh9uCc=\n\n\u{2014} log.example/a 2HC6trkI/NAsQg3xqodyiyS1EWLNb88TTXfdKuLPfoZFnqeKl7TBni/B1GJ0zDdn9eZPbeNn7rVM0PSE5QzHlRT6Lw4=\n";
const LINE: &str = "\u{2014} witness.example/w1 IDJKvgAAAABlU/EAM62Z8TfW1x8Ssa+m6JCFgkcpPpSm3HsJLvNOEFrITPNwFuden37DjwRIRC5qJkzZHrdhlFyauLrWLhsZsnNpBw==\n";
const AT: u64 = 1_700_000_000;

/// The example of C2SP tlog-witness.
const PUBLISHED_REQUEST: &str = "old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

fn signed() -> SignedCheckpoint {
    SignedCheckpoint::verify(NOTE.as_bytes(), &LOG_KEY.parse().unwrap()).unwrap()
}

fn seed(first: u8) -> [u8; 32] {
    std::array::from_fn(|place| first + u8::try_from(place).unwrap())
}

#[test]
fn keys_have_the_published_form() {
    // A witness that runs on the internet.
    let public = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    let key: WitnessKey = public.parse().unwrap();
    assert_eq!((key.name(), key.id(), key.to_string().as_str()), ("remora.n621.de", 0xda77_ade7, public));
    let own = ambit_ledger::witness::WitnessSigner::from_seed("witness.example/w1", &seed(32)).unwrap();
    assert_eq!(own.public_key().to_string(), WITNESS_KEY);
    assert!(!format!("{own:?}").contains("ICEiIyQl"), "the secret is not shown");
    for bad in [
        "",
        "witness.example/w1",
        "witness.example/w1+20324abe",
        "witness.example/w1+20324abf+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X",
        "witness.example/w1+020324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X",
        "witness.example/w2+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X",
        "witness example+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X",
        "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilg==",
        "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3",
        LOG_KEY,
    ] {
        assert!(matches!(bad.parse::<WitnessKey>(), Err(KeyError::WitnessKey { .. })), "{bad}");
    }
    // The neutral point: every signature would verify under it.
    let mut weak = [0; 33];
    (weak[0], weak[1]) = (4, 1);
    let id = signed_note::key_id("weak", &weak);
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, weak);
    let error = format!("weak+{id:08x}+{encoded}").parse::<WitnessKey>().unwrap_err();
    assert!(error.to_string().contains("weak key"), "{error}");
}

#[test]
fn a_cosignature_of_another_implementation_verifies_and_ours_is_the_same_bytes() {
    let (signed, key) = (signed(), WITNESS_KEY.parse::<WitnessKey>().unwrap());
    let read = signed.read_answer(LINE.as_bytes(), &key).unwrap();
    assert_eq!((read.at(), read.line()), (AT, LINE));

    let log = TrustedLog::new("log.example/a", LOG_KEY.parse().unwrap()).unwrap();
    let own = ambit_ledger::witness::WitnessSigner::from_seed("witness.example/w1", &seed(32)).unwrap();
    let witness = Witness::new(MemoryTiles::new(), own, TrustedLogs::new(vec![log]), 1).unwrap();
    let request = AddCheckpoint { old: TreeSize(0), proof: vec![], note: NOTE.to_owned() };
    let made = witness.add_checkpoint(request.to_body().as_bytes(), AT).unwrap();
    assert_eq!(made.line(), LINE);
    assert_eq!(signed.with_cosignature(&made, &key).unwrap().note(), format!("{NOTE}{LINE}"));
    assert!(witness.add_checkpoint(request.to_body().as_bytes(), u64::MAX).is_err(), "times have an end");
}

#[test]
fn no_changed_byte_of_a_cosignature_or_of_its_checkpoint_verifies() {
    let key = WITNESS_KEY.parse::<WitnessKey>().unwrap();
    for place in 0..LINE.len() - 1 {
        for bit in [1, 2, 16] {
            let mut line = LINE.as_bytes().to_vec();
            line[place] ^= bit;
            let read = signed().read_answer(&line, &key);
            assert!(read.is_err(), "byte {place}: {read:?}");
        }
    }
    // Of the same log, a byte of its text further: signed by the log, and not by the witness.
    let (history, other) = (History::new(1, 0, 20), cosigner());
    let request = history.request(0, 20);
    let log_key: CheckpointKey = crate::support::key();
    let later = SignedCheckpoint::verify(request.note.as_bytes(), &log_key).unwrap();
    assert!(later.read_answer(LINE.as_bytes(), &key).is_err());
    let stranger = later.read_answer(b"", other.public_key());
    assert!(matches!(stranger, Err(CheckpointError::NotCosigned { .. })), "{stranger:?}");
}

#[test]
fn lines_of_others_are_passed_over_and_a_newer_cosignature_replaces_an_older() {
    let (history, witness_key) = (History::new(1, 0, 20), cosigner().public_key().clone());
    let logs = TrustedLogs::new(vec![TrustedLog::new("test.local/*", crate::support::key()).unwrap()]);
    let witness = Witness::new(MemoryTiles::new(), cosigner(), logs, 1).unwrap();
    let mut request = history.request(0, 20);
    // Signatures that nobody knows, longer than ours, are allowed in what is asked and in what is answered.
    let unknown = format!("\u{2014} pq.example {}\n", "A".repeat(400));
    request.note.push_str(&unknown);
    let first = witness.add_checkpoint(request.to_body().as_bytes(), AT).unwrap();
    let signed = SignedCheckpoint::verify(request.note.as_bytes(), &crate::support::key()).unwrap();
    let answer = format!("{unknown}{}{LINE}", first.line());
    assert_eq!(signed.read_answer(answer.as_bytes(), &witness_key).unwrap(), first);
    let cosigned = signed.with_cosignature(&first, &witness_key).unwrap();
    let mut again = history.request(20, 20);
    again.note = cosigned.note().to_owned();
    let second = witness.add_checkpoint(again.to_body().as_bytes(), AT + 60).unwrap();
    let renewed = cosigned.with_cosignature(&second, &witness_key).unwrap();
    assert_eq!(renewed.note().lines().count(), cosigned.note().lines().count());
    assert_eq!(renewed.cosignature(&witness_key).unwrap().unwrap().at(), AT + 60);
    // A cosignature of something else is not put in.
    let key = WITNESS_KEY.parse::<WitnessKey>().unwrap();
    let foreign = self::signed().read_answer(LINE.as_bytes(), &key).unwrap();
    assert!(renewed.with_cosignature(&foreign, &key).is_err());
}

#[test]
fn extension_lines_are_cosigned_with_the_rest() {
    let history = History::new(1, 0, 3);
    let plain = history.request(0, 3);
    let text = plain.note.split("\n\n").next().unwrap().to_owned() + "\nextra line\n";
    let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    note.add_sigs(&[&crate::support::signer()]).unwrap();
    let request = AddCheckpoint { note: String::from_utf8(note.to_bytes()).unwrap(), ..plain.clone() };
    let logs = TrustedLogs::new(vec![TrustedLog::new("test.local/*", crate::support::key()).unwrap()]);
    let witness = Witness::new(MemoryTiles::new(), cosigner(), logs, 1).unwrap();
    let line = witness.add_checkpoint(request.to_body().as_bytes(), AT).unwrap();
    let (with, without) = (&request.note, &plain.note);
    let read = |note: &str| {
        let signed = SignedCheckpoint::verify(note.as_bytes(), &crate::support::key()).unwrap();
        signed.read_answer(line.line().as_bytes(), witness.key())
    };
    assert!(read(with).is_ok());
    assert!(read(without).is_err());
}

#[test]
fn the_published_request_is_read() {
    let request = AddCheckpoint::parse(PUBLISHED_REQUEST.as_bytes()).unwrap();
    assert_eq!((request.old, request.proof.len()), (TreeSize(20_852_014), 4));
    assert!(request.note.starts_with("example.com/behind-the-sofa\n20852163\n"));
    assert_eq!(request.to_body(), PUBLISHED_REQUEST);
}

#[test]
fn every_bound_of_a_request_is_kept() {
    let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=";
    let with = |first: &str, lines: usize, rest: &str| {
        format!("{first}\n{}{rest}", format!("{hash}\n").repeat(lines))
    };
    let read = |body: &str| AddCheckpoint::parse(body.as_bytes());
    assert_eq!(read(&with("old 7", MAX_PROOF_LINES, "\nx\n")).unwrap().proof.len(), 63);
    let largest = format!("old {}\n\n{}", 1_u64 << 48, "x".repeat(64 << 10));
    assert!(largest.len() <= MAX_REQUEST_BYTES && read(&largest).is_ok());
    for bad in [
        String::new(),
        "old 7".into(),
        "old 7\n".into(),
        with("old 7", 2, ""),
        with("old 7", MAX_PROOF_LINES + 1, "\nx\n"),
        with("old  7", 0, "\nx\n"),
        with("old 07", 0, "\nx\n"),
        with("old +7", 0, "\nx\n"),
        with("old -7", 0, "\nx\n"),
        with("old ", 0, "\nx\n"),
        with("Old 7", 0, "\nx\n"),
        with("old 7\r", 0, "\nx\n"),
        with("old 281474976710657", 0, "\nx\n"),
        with("old 99999999999999999999999", 0, "\nx\n"),
        with("old 7", 0, "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpka==\n\nx\n"),
        with("old 7", 0, &format!("{hash}{hash}\n\nx\n")),
        with("old 7", 0, &format!(" {hash}\n\nx\n")),
        with("old 7", 0, &format!("\n{}", "x".repeat((64 << 10) + 1))),
        "x".repeat(MAX_REQUEST_BYTES + 1),
    ] {
        let refused = read(&bad);
        let shown: String = bad.chars().take(80).collect();
        assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{shown:?}: {refused:?}");
    }
    assert!(AddCheckpoint::parse(b"old 7\n\n\xff\n").is_err());
}
