//! From an address in the VMM to the function that it was written in.

use std::path::Path;

use addr2line::Loader;
use elf::ElfBytes;
use elf::endian::LittleEndian;
use xtask::failure::{self, Context};

/// Part of the paths of the VMM's own sources.
const OURS: &str = "vmm/src/";

/// What the VMM's executable tells of its code.
pub(super) struct Symbols {
    lines: Loader,
    /// Addresses and names, in order, for what has no line information.
    names: Vec<(u64, String)>,
}

impl Symbols {
    /// Reads the debug information of an executable.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn read(path: &Path) -> failure::Result<Self> {
        let doing = || format!("read the symbols of {}", path.display());
        let lines = Loader::new(path).map_err(|error| error.to_string()).context(doing())?;
        let names = names(&std::fs::read(path).context(doing())?).context(doing())?;
        Ok(Self { lines, names })
    }

    /// File and function of an instruction. Of the functions that were
    /// inlined there, the innermost of ours: what it uses of the library is
    /// part of what it does.
    pub(super) fn place(&self, pc: u64) -> (String, String) {
        self.frame(pc).unwrap_or_else(|| self.symbol(pc))
    }

    fn frame(&self, pc: u64) -> Option<(String, String)> {
        let mut frames = self.lines.find_frames(pc).ok()?;
        while let Some(frame) = frames.next().ok()? {
            let file = frame.location.and_then(|location| location.file).unwrap_or_default();
            if let (Some((_, file)), Some(name)) = (file.split_once(OURS), frame.function) {
                let name = name.demangle().ok()?.into_owned();
                return Some((file.to_owned(), short(&name)));
            }
        }
        None
    }

    /// Assembly, and functions of libraries that were not inlined.
    fn symbol(&self, pc: u64) -> (String, String) {
        let behind = self.names.partition_point(|(address, _)| *address <= pc);
        let name = behind.checked_sub(1).map_or("unknown", |n| &self.names[n].1);
        let name = addr2line::demangle_auto(name.into(), None).into_owned();
        match name.as_str() {
            "enter_guest" | "other_trap" => ("hw/switch.rs".to_owned(), name),
            "guest_trap" => ("hw/plain.rs".to_owned(), name),
            _ if name.starts_with("plain_") => ("hw/plain.rs".to_owned(), name),
            _ => ("library".to_owned(), short(&name)),
        }
    }
}

/// The symbols of an executable but for local labels, of which the RISC-V tool
/// chain makes many.
fn names(bytes: &[u8]) -> Result<Vec<(u64, String)>, elf::ParseError> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(bytes)?;
    let Some((symbols, strings)) = file.symbol_table()? else { return Ok(Vec::new()) };
    let named = symbols.iter().filter_map(|symbol| {
        let name = strings.get(usize::try_from(symbol.st_name).ok()?).ok()?;
        let plain = !name.is_empty() && !name.starts_with(['.', '$']);
        plain.then(|| (symbol.st_value, name.to_owned()))
    });
    let mut names: Vec<(u64, String)> = named.collect();
    names.sort();
    Ok(names)
}

/// A demangled name without its path, generics and hash.
fn short(name: &str) -> String {
    let name = match name.rsplit_once("::") {
        Some((path, hash)) if is_hash(hash) => path,
        _ => name,
    };
    let mut depth = 0_u32;
    let mut plain = String::new();
    for c in name.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let parts: Vec<&str> = plain.split("::").filter(|part| !part.is_empty()).collect();
    parts.last().map_or_else(|| name.to_owned(), |last| (*last).to_owned())
}

fn is_hash(part: &str) -> bool {
    part.len() == 17 && part.starts_with('h') && part[1..].bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_to_the_function() {
        for (long, name) in [
            ("trapeze_vmm::vcpu::access::read::h0123456789abcdef", "read"),
            (
                "trapeze_vmm::machine::exit::<impl trapeze_vmm::machine::hart::Hart<H>>::handle",
                "handle",
            ),
            ("<core::option::Option<T> as core::cmp::PartialEq>::eq", "eq"),
            ("memset", "memset"),
            ("fill<trapeze_vmm::hw::Real>", "fill"),
            ("{closure#0}", "{closure#0}"),
        ] {
            assert_eq!(short(long), name);
        }
    }
}
