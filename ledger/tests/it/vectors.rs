//! The published test vectors of RFC 6962 logs: eight records, their roots, and proofs between them.

use ambit_ledger::{
    LeafHash, LeafIndex, MemoryTiles, TreeHash, TreeSize, leaf_hash, verify_consistency, verify_inclusion,
};

use crate::support::{open, root_by_definition, signer};

const RECORDS: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn records() -> Vec<LeafHash> {
    RECORDS.iter().map(|record| leaf_hash(&hex::decode(record).unwrap())).collect()
}

fn root(size: u64) -> TreeHash {
    ROOTS[usize::try_from(size).unwrap()].parse().unwrap()
}

fn hashes(texts: &[&str]) -> Vec<TreeHash> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn roots_of_every_prefix() {
    let mut ledger = open(MemoryTiles::new()).unwrap();
    assert_eq!(ledger.root(), root(0));
    for (size, leaf) in (1..).zip(records()) {
        ledger.append(&[leaf]).unwrap();
        assert_eq!(ledger.root(), root(size), "size {size}");
        assert_eq!(ledger.root(), root_by_definition(&records()[..usize::try_from(size).unwrap()]));
    }
}

#[test]
fn proofs_are_the_published_ones() {
    let mut ledger = open(MemoryTiles::new()).unwrap();
    ledger.append(&records()).unwrap();
    ledger.commit(&signer()).unwrap();
    let tree = ledger.published();

    let of_five = hashes(&[
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]);
    assert_eq!(tree.inclusion_proof(LeafIndex(5), TreeSize(8)).unwrap(), of_five);
    verify_inclusion(records()[5], LeafIndex(5), TreeSize(8), root(8), &of_five).unwrap();
    let of_two = hashes(&["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]);
    assert_eq!(tree.inclusion_proof(LeafIndex(2), TreeSize(3)).unwrap(), of_two);
    assert_eq!(tree.inclusion_proof(LeafIndex(0), TreeSize(1)).unwrap(), []);

    let from_six = hashes(&[
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]);
    assert_eq!(tree.consistency_proof(TreeSize(6), TreeSize(8)).unwrap(), from_six);
    verify_consistency(TreeSize(6), root(6), TreeSize(8), root(8), &from_six).unwrap();
    let from_two = hashes(&[
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]);
    assert_eq!(tree.consistency_proof(TreeSize(2), TreeSize(5)).unwrap(), from_two);
    verify_consistency(TreeSize(2), root(2), TreeSize(5), root(5), &from_two).unwrap();
}
