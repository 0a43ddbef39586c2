//! The rules of the house that no lint of the compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The only places where `unsafe` may be allowed: the machine, and the memory
/// of guests; in a guest, calling the VMM and giving memory away. A directory
/// ends with a slash.
const UNSAFE: [&str; 12] = [
    "vmm/src/hw/",
    "vmm/src/mem.rs",
    "guest-drivers/src/adapters/virtio_drivers.rs",
    "guest-drivers/c-abi/src/abi.rs",
    "guest-drivers/src/channel.rs",
    "guest-drivers/src/cpu.rs",
    "guest-drivers/src/detect.rs",
    "guest-drivers/src/dma.rs",
    "guest-drivers/src/ecall.rs",
    "guest-drivers/src/memory.rs",
    "guest-drivers/src/vmm.rs",
    "guest-drivers/tests/common/",
];

/// Our own sources; what guests are made of follows its own rules.
const SOURCES: [&str; 6] = ["protocol", "guest-drivers", "vmm", "xtask", "bench", "tests"];

/// The longest file; tests do not count.
const LONGEST: usize = 450;

/// Licences that the dependencies of a program under MIT OR Apache-2.0 may have.
const LICENCES: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

struct Source {
    /// Relative to the root, with slashes.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for part in SOURCES {
        collect(&root().join(part), &mut files);
    }
    files
        .into_iter()
        .map(|file| Source {
            path: file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(&file).unwrap(),
        })
        .collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Fails with all offenders at once.
fn none(rule: &str, offenders: Vec<String>) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn unsafe_is_allowed_in_few_places_only() {
    // In two parts, so that this line is not found.
    let marker = concat!("allow(unsafe", "_code)");
    let offenders = sources().into_iter().filter(|file| {
        let fenced = UNSAFE.iter().any(|place| file.path.starts_with(place));
        file.text.contains(marker) && !fenced
    });
    none("these files must not allow unsafe code", offenders.map(|file| file.path).collect());
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"deny\""));
    let offenders = SOURCES.iter().filter(|part| {
        let manifest = fs::read_to_string(root().join(part).join("Cargo.toml"));
        !manifest.unwrap().contains("[lints]\nworkspace = true")
    });
    none("these crates must inherit the lints", offenders.map(|part| (*part).to_owned()).collect());
}

#[test]
fn every_file_says_what_it_is_for() {
    let offenders = sources().into_iter().filter(|file| !file.text.starts_with("//! "));
    none("these files must open with //!", offenders.map(|file| file.path).collect());
}

#[test]
fn no_file_is_too_long() {
    let long = |file: &Source| !is_test(&file.path) && code_lines(&file.text) > LONGEST;
    let offenders = sources().into_iter().filter(long);
    let told = offenders.map(|file| format!("{}: {}", file.path, code_lines(&file.text)));
    none("these files have more than 450 lines without tests", told.collect());
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn code_lines(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[test]
fn dependencies_have_compatible_licences() {
    let mut offenders = BTreeSet::new();
    for platform in ["x86_64-unknown-linux-gnu", "riscv64imac-unknown-none-elf"] {
        let packages = metadata(platform);
        for package in packages["packages"].as_array().unwrap() {
            let licence = package["license"].as_str().unwrap_or("none stated");
            if !is_compatible(licence) {
                offenders.insert(format!("{}: {licence}", package["name"]));
            }
        }
    }
    none("licences that are not in the list", offenders.into_iter().collect());
}

/// What cargo knows; without network, because the lock file is complete and
/// whatever was built has been downloaded.
fn metadata(platform: &str) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All parts joined by AND must be satisfied, each by one of those joined by
/// OR (SPDX expressions as they occur; crates of old write `/` for OR).
fn is_compatible(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" AND ").all(|part| part.split(" OR ").any(|one| LICENCES.contains(&one.trim())))
}

#[test]
fn licence_expressions_are_understood() {
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(is_compatible(good), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-2.0", "none stated", ""] {
        assert!(!is_compatible(bad), "{bad}");
    }
}
