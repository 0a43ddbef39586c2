//! The C header is made from `src/abi.rs`: this test makes it anew and
//! compares, and has the C compiler read it. After a change,
//! `TRAPEZE_BLESS=1 cargo test -p guest-drivers-c` writes it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

const HEADER: &str = "include/trapeze_drivers.h";

const BEGIN: &str = "\
/* The drivers of Trapeze's paravirtual devices, for a kernel in C.
 * Made from guest-drivers/c-abi/src/abi.rs by a test; do not edit.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef TRAPEZE_DRIVERS_H
#define TRAPEZE_DRIVERS_H

#include <stddef.h>
#include <stdint.h>
";

/// An item of the source: its comment, and its text on one line.
struct Item {
    comment: Vec<String>,
    text: String,
}

/// The items that C sees, in their order.
fn items(source: &str) -> Vec<Item> {
    let (mut items, mut comment) = (Vec::new(), Vec::new());
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if let Some(words) = line.strip_prefix("///") {
            comment.push(words.trim().to_owned());
        } else if line.starts_with("pub ") {
            let is_type = line.contains(" enum ") || line.contains(" struct ");
            let mut text = line.to_owned();
            let is_over = |text: &str| text.ends_with(if is_type { '}' } else { '{' });
            while !is_over(&text) {
                text = format!("{text}\n{}", lines.next().expect("an item ends").trim());
            }
            items.push(Item { comment: std::mem::take(&mut comment), text });
        } else if !line.starts_with("#[") {
            comment.clear();
        }
    }
    items
}

/// A declaration `name: type`, as C has it.
fn declare(name: &str, rust: &str) -> String {
    let c = match rust {
        "i32" => "int32_t ",
        "u32" => "uint32_t ",
        "u64" => "uint64_t ",
        "u8" => "uint8_t ",
        "usize" => "size_t ",
        "*mut u64" => "uint64_t *",
        "*mut c_void" => "void *",
        "*const c_void" => "const void *",
        "*mut c_char" => "char *",
        "*const c_char" => "const char *",
        "*mut Completion" => "struct trapeze_completion *",
        other => panic!("the header has no word for {other}"),
    };
    format!("{c}{name}")
}

fn function(text: &str) -> String {
    let text = text.replace('\n', " ");
    let (head, rest) = text.split_once('(').unwrap();
    let (arguments, result) = rest.rsplit_once(')').unwrap();
    let name = head.rsplit(' ').next().unwrap();
    let result = result.trim_end_matches('{').trim().strip_prefix("-> ");
    let arguments = arguments.split(',').map(str::trim).filter(|one| !one.is_empty());
    let arguments: Vec<_> = arguments
        .map(|one| one.split_once(": ").unwrap())
        .map(|(name, rust)| declare(name, rust))
        .collect();
    let one_line = arguments.join(", ");
    let arguments = match one_line.len() {
        0 => "void".to_owned(),
        1..80 => one_line,
        _ => format!("\n    {}", arguments.join(",\n    ")),
    };
    let result = result.map_or(format!("void {name}"), |rust| declare(name, rust));
    format!("{result}({arguments});\n")
}

/// Members with their comments; `member` makes one of its text.
fn members(text: &str, member: impl Fn(&str) -> String) -> String {
    let lines = text.lines().skip(1).filter(|line| *line != "}");
    lines.fold(String::new(), |out, line| match line.strip_prefix("///") {
        Some(words) => format!("{out}    /*{words} */\n"),
        None => format!("{out}    {}\n", member(line.trim_end_matches(','))),
    })
}

fn make(item: &Item) -> String {
    let head = item.text.lines().next().unwrap();
    let name = |word: &str| head.split_once(word).unwrap().1.trim_end_matches(" {").to_lowercase();
    let told: String = item.comment.join("\n * ").replace("\n * \n", "\n *\n");
    let told = told.replace(" # Safety", " The caller promises:");
    let body = if head.contains(" enum ") {
        let kind = name(" enum ");
        // A status is known without saying that it is one.
        let prefix =
            if kind == "status" { String::new() } else { format!("{}_", kind.to_uppercase()) };
        let member = |line: &str| {
            let (name, value) = line.split_once(" = ").unwrap();
            format!("TRAPEZE_{prefix}{} = {value},", name.to_uppercase())
        };
        format!("enum trapeze_{kind} {{\n{}}};\n", members(&item.text, member))
    } else if head.contains(" struct ") {
        let member = |line: &str| {
            let (name, rust) = line.strip_prefix("pub ").unwrap().split_once(": ").unwrap();
            format!("{};", declare(name, rust))
        };
        format!("struct trapeze_{} {{\n{}}};\n", name(" struct "), members(&item.text, member))
    } else {
        function(&item.text)
    };
    format!("\n/* {told} */\n{body}")
}

fn generate() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/abi.rs");
    let items = items(&fs::read_to_string(source).unwrap());
    let functions = items.iter().filter(|item| item.text.contains("extern \"C\"")).count();
    assert!(functions > 20, "the source is not read as it should");
    let body: String = items.iter().map(make).collect();
    format!("{BEGIN}{body}\n#endif\n")
}

#[test]
fn the_c_header_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(HEADER);
    let expected = generate();
    if env::var_os("TRAPEZE_BLESS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{HEADER} is stale: run with TRAPEZE_BLESS=1 and commit it");
}

/// A program that uses the header, as strictly as a C compiler can be told.
const PROGRAM: &str = r#"
#include "trapeze_drivers.h"
_Static_assert(sizeof(struct trapeze_completion) == 16, "as in Rust");
_Static_assert(offsetof(struct trapeze_completion, status) == 8, "as in Rust");
int32_t (*submit)(uint32_t, int32_t, uint64_t, void *, size_t, void *) = trapeze_block_submit;
int32_t (*complete)(uint32_t, struct trapeze_completion *) = trapeze_block_complete;
const char *text(void) { return trapeze_status_text(TRAPEZE_BUSY + TRAPEZE_OPERATION_READ); }
"#;

#[test]
fn a_c_compiler_takes_the_header() {
    use trapeze::abi::{Completion, Status, trapeze_status_text};
    assert_eq!((size_of::<Completion>(), std::mem::offset_of!(Completion, status)), (16, 8));
    assert!(!trapeze_status_text(Status::Busy as i32).is_null());
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    // Cargo links with it, so there is one.
    let mut cc = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
        .arg("-I")
        .arg(include)
        .args(["-x", "c", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("a C compiler");
    cc.stdin.take().unwrap().write_all(PROGRAM.as_bytes()).unwrap();
    assert!(cc.wait().unwrap().success(), "the C compiler refuses the header");
}
