//! The linker scripts: that of the probes in S-mode, at 0x80200000 above a
//! firmware; and one for any address.

use std::env;

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").unwrap();
    println!("cargo:rerun-if-changed=../probes/link-s.ld");
    println!("cargo:rerun-if-changed=../probes/link-common.ld");
    println!("cargo:rerun-if-changed=moved.ld");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-bin=ladder=-L{root}/../probes");
        println!("cargo:rustc-link-arg-bin=ladder=-Tlink-s.ld");
        for argument in ["-pie", "--no-dynamic-linker", "-znotext"] {
            println!("cargo:rustc-link-arg-bin=ladder-moved={argument}");
        }
        println!("cargo:rustc-link-arg-bin=ladder-moved=-T{root}/moved.ld");
    }
}
