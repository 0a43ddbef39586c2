//! Values of options that have a form of their own, and what is wrong with
//! them when they do not.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use trapeze_vmm::bundle::{Causes, MEMORY_UNIT, MmioVersion};

/// A size of memory in bytes: `256M`, `1G`, `2MiB`.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

/// More than any guest here needs, and what QEMU still places below its
/// high PCI window.
const LARGEST: u64 = 64 << 30;

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit.to_ascii_uppercase().as_str() {
            "M" | "MB" | "MIB" => 1 << 20,
            "G" | "GB" | "GIB" => 1 << 30,
            _ => return Err("write a number and M or G, such as 128M".to_owned()),
        };
        let size = number.parse().ok().and_then(|number: u64| number.checked_mul(unit));
        match size {
            Some(size) if size == 0 || !size.is_multiple_of(MEMORY_UNIT) => {
                Err("memory comes in multiples of 2M".to_owned())
            }
            Some(size) if size <= LARGEST => Ok(Self(size)),
            _ => Err("a guest has at most 64G".to_owned()),
        }
    }
}

/// The device as which a guest sees its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// virtio-blk with emulated registers.
    VirtioMmio,
    /// Paravirtual.
    Pv,
    /// An emulated ATA drive.
    Ata,
}

/// What holds the sectors of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Storage {
    /// The image itself, as a disk of QEMU's.
    Qemu,
    /// A copy in RAM; changes are lost.
    Ram,
    /// An image in RAM that guests share, and RAM of one's own for changes.
    Overlay,
    /// The same over a disk of QEMU's, for large images.
    QemuOverlay,
}

impl Storage {
    /// Whether QEMU has a disk for it.
    pub fn is_qemu(self) -> bool {
        matches!(self, Self::Qemu | Self::QemuOverlay)
    }

    /// Whether it needs room for changes.
    pub fn is_overlay(self) -> bool {
        matches!(self, Self::Overlay | Self::QemuOverlay)
    }
}

/// Room for changes where nothing is said.
const ROOM: Size = Size(64 << 20);

/// `--disk PATH[,model=...][,version=1|2][,backend=...][,room=SIZE][,ro]`
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(try_from = "String")]
pub struct DiskOption {
    /// The image.
    pub path: PathBuf,
    /// Device model.
    pub model: Model,
    /// Register layout, with [`Model::VirtioMmio`].
    pub version: MmioVersion,
    /// Where its sectors are.
    pub storage: Storage,
    /// Room for changes, of an overlay.
    pub room: Size,
    /// Whether the guest can only read.
    pub read_only: bool,
    /// With [`Model::Ata`]: whether copy loops are carried on in one exit.
    pub burst: bool,
}

impl FromStr for DiskOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let path = parts.next().filter(|path| !path.is_empty());
        let mut disk = Self::new(path.ok_or("it begins with the path of an image")?.into());
        for part in parts {
            disk.set(part)?;
        }
        Ok(disk)
    }
}

impl DiskOption {
    /// The disk that an image is when nothing else is said.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            model: Model::VirtioMmio,
            version: MmioVersion::Modern,
            storage: Storage::Qemu,
            room: ROOM,
            read_only: false,
            burst: false,
        }
    }

    fn set(&mut self, part: &str) -> Result<(), String> {
        match part.split_once('=').unwrap_or((part, "")) {
            ("model", "virtio-mmio") => self.model = Model::VirtioMmio,
            ("model", "pv") => self.model = Model::Pv,
            ("model", "ata") => self.model = Model::Ata,
            ("model", _) => return Err("model is one of virtio-mmio, pv, ata".to_owned()),
            ("version", "1") => self.version = MmioVersion::Legacy,
            ("version", "2") => self.version = MmioVersion::Modern,
            ("version", _) => return Err("version is 1 (legacy) or 2 (modern)".to_owned()),
            ("backend", name) => self.storage = storage(name)?,
            ("room", size) => self.room = size.parse()?,
            ("ro", "") => self.read_only = true,
            ("burst", "") => self.burst = true,
            _ => {
                return Err(format!(
                    "{part:?} is unknown; there are model=, version=, backend=, room=, ro and burst"
                ));
            }
        }
        Ok(())
    }
}

fn storage(name: &str) -> Result<Storage, String> {
    match name {
        "qemu" => Ok(Storage::Qemu),
        "ram" => Ok(Storage::Ram),
        "overlay" => Ok(Storage::Overlay),
        "qemu-overlay" => Ok(Storage::QemuOverlay),
        _ => Err("backend is one of qemu, ram, overlay, qemu-overlay".to_owned()),
    }
}

/// `--escape KEY`: a control character, or none.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(try_from = "String")]
pub struct EscapeKey(pub Option<u8>);

impl Default for EscapeKey {
    /// Control and `]`, as telnet has it: shells leave it alone.
    fn default() -> Self {
        Self(Some(b']' & 0x1f))
    }
}

impl EscapeKey {
    /// As people call it.
    pub fn name(self) -> Option<String> {
        self.0.map(|key| format!("Ctrl-{}", char::from(key | 0x40)))
    }
}

impl FromStr for EscapeKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        if lower == "none" {
            return Ok(Self(None));
        }
        let key = lower.strip_prefix("ctrl-").or_else(|| lower.strip_prefix('^'));
        match key.unwrap_or_default().as_bytes() {
            [b'a'] => Err("Ctrl-A is QEMU's".to_owned()),
            [b'm' | b'j'] => Err("Ctrl-M and Ctrl-J are Enter".to_owned()),
            [key @ (b'b'..=b'z' | b'\\' | b']' | b'^' | b'_')] => Ok(Self(Some(key & 0x1f))),
            _ => Err("write a key such as ctrl-], or none".to_owned()),
        }
    }
}

/// `--balloon SIZE`: what a guest is asked to give back at first, or none.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(try_from = "String")]
pub struct BalloonOption(pub Option<u64>);

impl FromStr for BalloonOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self(None)),
            "0" => Ok(Self(Some(0))),
            _ => text.parse().map(|Size(bytes)| Self(Some(bytes))),
        }
    }
}

/// One of the causes of `--trace-only`.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(try_from = "String")]
pub struct CauseName(pub Causes);

impl FromStr for CauseName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cause = Causes::from_name(&text.to_ascii_uppercase());
        cause.map(Self).ok_or_else(|| {
            let names = Causes::all().iter_names().map(|(name, _)| name.to_ascii_lowercase());
            format!("causes are {}", names.collect::<Vec<_>>().join(", "))
        })
    }
}

macro_rules! from_string {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse().map_err(|problem| format!("{text:?}: {problem}"))
            }
        }
    )*};
}
pub(super) use from_string;

from_string!(Size, DiskOption, EscapeKey, BalloonOption, CauseName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_a_granule() {
        assert_eq!("128M".parse(), Ok(Size(128 << 20)));
        assert_eq!("1g".parse(), Ok(Size(1 << 30)));
        assert_eq!("2MiB".parse(), Ok(Size(2 << 20)));
        for (text, part) in [
            ("128", "M or G"),
            ("M", "64G"),
            ("-1G", "M or G"),
            ("3M", "multiples"),
            ("0M", "multiples"),
            ("65G", "64G"),
            ("99999999999999999999G", "64G"),
        ] {
            let problem = text.parse::<Size>().unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn disks_have_defaults_and_all_their_options() {
        let plain: DiskOption = "a.img".parse().unwrap();
        assert_eq!(plain.path, PathBuf::from("a.img"));
        assert!(plain.version == MmioVersion::Modern && !plain.read_only);
        assert_eq!(plain.storage, Storage::Qemu);
        let full: DiskOption = "b,model=virtio-mmio,version=1,backend=ram,ro".parse().unwrap();
        assert!(full.version == MmioVersion::Legacy && full.read_only);
        assert_eq!(full.storage, Storage::Ram);
        let overlay: DiskOption = "c,backend=overlay,room=4M".parse().unwrap();
        assert_eq!((overlay.storage, overlay.room), (Storage::Overlay, Size(4 << 20)));
        for text in ["", ",ro", "a,version=3", "a,backend=", "a,rw", "a,ro=1", "a,room=3"] {
            assert!(text.parse::<DiskOption>().is_err(), "{text}");
        }
    }

    #[test]
    fn escape_keys_are_control_characters() {
        for (text, key) in [("ctrl-]", 29), ("^E", 5), ("Ctrl-b", 2), ("ctrl-_", 31)] {
            assert_eq!(text.parse(), Ok(EscapeKey(Some(key))), "{text}");
        }
        assert_eq!("none".parse(), Ok(EscapeKey(None)));
        assert_eq!("ctrl-]".parse(), Ok(EscapeKey::default()));
        assert_eq!(EscapeKey::default().name().as_deref(), Some("Ctrl-]"));
        for (text, part) in [("ctrl-a", "QEMU"), ("^M", "Enter"), ("x", "such as"), ("", "such as")]
        {
            let problem = text.parse::<EscapeKey>().unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn balloons_may_be_empty_or_missing() {
        for (text, bytes) in [("none", None), ("0", Some(0)), ("64M", Some(64 << 20))] {
            assert_eq!(text.parse(), Ok(BalloonOption(bytes)), "{text}");
        }
        assert!("3".parse::<BalloonOption>().unwrap_err().contains("M or G"));
    }

    #[test]
    fn causes_are_named_as_in_the_bundle() {
        assert_eq!("csr".parse(), Ok(CauseName(Causes::CSR)));
        let problem = "foo".parse::<CauseName>().unwrap_err();
        assert!(problem.starts_with("causes are csr, sret, mret, fence"), "{problem}");
    }
}
