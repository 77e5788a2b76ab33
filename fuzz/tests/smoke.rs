//! Every oracle run on its seeds and on pseudo-random bytes, the same in each run: a check that the
//! oracles hold and that fuzzing will start, not a search. The search is `cargo xtask fuzz`.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use ipc_fuzz::{TARGETS, Target};

/// Miri is a thousand times slower.
const INPUTS: u64 = if cfg!(miri) { 10 } else { 4_000 };
const CORRUPTIONS: u64 = if cfg!(miri) { 2 } else { 100 };
const LONGEST_INPUT: u64 = 512;

#[test]
fn oracles_hold_on_their_seeds() {
    for target in targets() {
        for seed in files(&folder("seeds").join(target.name)) {
            run(target, &seed.display().to_string(), &fs::read(&seed).expect("a seed is readable"));
        }
    }
}

#[test]
fn oracles_hold_on_pseudo_random_bytes() {
    for target in targets() {
        let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
        for number in 0..INPUTS {
            run(target, &format!("pseudo-random input {number}"), &random.input());
        }
    }
}

/// Corrupted seeds get further into a format than noise does.
#[test]
fn oracles_hold_on_corrupted_seeds() {
    for target in targets() {
        let mut random = Xorshift(0x2545_f491_4f6c_dd1d);
        for seed in files(&folder("seeds").join(target.name)) {
            let intact = fs::read(&seed).expect("a seed is readable");
            for number in 0..CORRUPTIONS {
                let mut data = intact.clone();
                for _ in 0..=random.below(4) {
                    if !data.is_empty() {
                        let index = random.below(data.len() as u64) as usize;
                        data[index] = random.next() as u8;
                    }
                }
                run(target, &format!("{}, corruption {number}", seed.display()), &data);
            }
        }
    }
}

#[test]
fn every_target_is_registered_with_a_file_and_a_binary() {
    let registered: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let with_file: BTreeSet<_> = files(&folder("fuzz_targets"))
        .iter()
        .map(|path| path.file_stem().expect("a file name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(registered, with_file, "TARGETS and the files of fuzz_targets/ differ");

    let manifest = fs::read_to_string(folder("Cargo.toml")).expect("this package has a manifest");
    for name in registered {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "no [[bin]] with {path} in Cargo.toml");
    }
}

/// The targets that can run here.
fn targets() -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().filter(|target| !(cfg!(miri) && target.needs_kernel))
}

/// Runs one input, and on a failure says which, since it stands in no file.
fn run(target: &Target, what: &str, data: &[u8]) {
    if catch_unwind(|| (target.run)(data)).is_err() {
        panic!("target {} fails on {what}: {data:?}", target.name);
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The files of a folder in the order of their names; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    files
}

/// Marsaglia's generator: enough randomness for a smoke test, and the same everywhere.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Short inputs are as likely as long ones. A third are of few and small bytes, which mean
    /// something to more formats than noise does.
    fn input(&mut self) -> Vec<u8> {
        let longest = self.below(LONGEST_INPUT) + 1;
        let len = self.below(longest);
        let small = self.below(3) == 0;
        (0..len)
            .map(|_| self.next() as u8)
            .map(|byte| if small { byte % 8 } else { byte })
            .collect()
    }
}
