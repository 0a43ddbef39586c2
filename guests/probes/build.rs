//! Gives each probe its linker script: those named for the SBI start in S-mode
//! at 0x80200000 under a firmware, the others in M-mode at 0x80000000.

use std::{env, fs, path::Path};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").unwrap();
    println!("cargo:rerun-if-changed=link-m.ld");
    println!("cargo:rerun-if-changed=link-s.ld");
    println!("cargo:rerun-if-changed=link-common.ld");
    println!("cargo:rerun-if-changed=src/bin");
    println!("cargo:rustc-link-arg-bins=-L{root}");
    for entry in fs::read_dir(Path::new(&root).join("src/bin")).unwrap() {
        let path = entry.unwrap().path();
        let bin = path.file_stem().unwrap().to_str().unwrap();
        let mode = if bin.contains("sbi") { "s" } else { "m" };
        println!("cargo:rustc-link-arg-bin={bin}=-Tlink-{mode}.ld");
    }
}
