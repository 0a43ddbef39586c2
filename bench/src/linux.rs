//! Debian's Linux: instructions from the kernel's first one to the first
//! process, and of a read of 4 KiB at a random place, natively and as a guest.
//!
//! The first process is `guests/first`, which tells what `time` says. With
//! `-icount shift=0` that is a count of instructions, to the hundred. What the
//! firmware or the VMM does before is measured by itself and subtracted: with
//! the same files, but a kernel that tells the time and ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tabled::builder::Builder;
use xtask::failure::{Context, Result, broken};
use xtask::linux::{Linux, initramfs_with, prepare};
use xtask::{setup, workspace};

use crate::machine;
use crate::progress::Progress;
use crate::render::{Look, finish, number};

/// Seconds after which a run hangs for sure.
const PATIENCE: &str = "1800";
/// Instructions in a tick of `time`.
const TICK: f64 = 100.0;
/// What the first process reads, and from a disk of how many bytes.
const READS: f64 = 1000.0;
const DISK: usize = 16 << 20;

/// What it should cost at most: of the native boot, and instructions for a
/// read.
type Targets = (f64, f64);

/// How it runs.
const RUNS: [(&str, &[&str], Option<Targets>); 3] = [
    ("native", &["--native"], None),
    ("classic", &["--cpu", "classic"], Some((1.5, 40_000.0))),
    ("assisted", &["--cpu", "assisted"], Some((1.1, 25_000.0))),
];

/// Where the code of an `Image` may begin, behind its header, and the jump
/// there (Documentation/arch/riscv/boot-image-header.rst).
const CODE: usize = 64;
const JUMP: u32 = 0x0400_006f;

/// Prints `@`, the time in hexadecimal, and a line's end by the SBI's first
/// console, and powers off by SRST.
const TELL_TIME: [u32; 23] = [
    0xc010_2473, // rdtime s0
    0x0400_0513, // li     a0, '@'
    0x0010_0893, // li     a7, 1
    0x0000_0073, // ecall
    0x03c0_0493, // li     s1, 60
    0x0094_5533, // digit: srl a0, s0, s1
    0x00f5_7513, // andi   a0, a0, 15
    0x0305_0513, // addi   a0, a0, '0'
    0x0390_0293, // li     t0, '9'
    0x00a2_d463, // bge    t0, a0, show
    0x0275_0513, // addi   a0, a0, 39
    0x0000_0073, // show:  ecall
    0xffc4_8493, // addi   s1, s1, -4
    0xfe04_d0e3, // bgez   s1, digit
    0x00a0_0513, // li     a0, 10
    0x0000_0073, // ecall
    0x5352_58b7, // lui    a7, 0x53525
    0x3548_889b, // addiw  a7, a7, 0x354
    0x0000_0813, // li     a6, 0
    0x0000_0513, // li     a0, 0
    0x0000_0593, // li     a1, 0
    0x0000_0073, // ecall
    0x0000_006f, // j      .
];

/// What Linux cost in one way to run it.
#[derive(Clone, PartialEq, Debug)]
pub struct Boot {
    /// `native`, `classic` or `assisted`
    pub name: String,
    /// Instructions from the kernel's first one to the first process.
    pub boot: f64,
    /// The same, as a multiple of the native ones.
    pub ratio: f64,
    /// What `ratio` should be at most.
    pub ratio_target: Option<f64>,
    /// Instructions of a read of 4 KiB at a random place, one at a time, from
    /// a disk in the VMM's memory; natively there is none that repeats.
    pub read: Option<f64>,
    /// What `read` should be at most.
    pub read_target: Option<f64>,
}

/// What one run printed.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Told {
    boot: f64,
    read: Option<f64>,
}

/// Boots Linux in each way.
///
/// # Errors
/// If a run fails.
pub fn measure(images: &Images) -> Result<Vec<Boot>> {
    let progress = Progress::new(RUNS.len());
    let mut rows: Vec<Boot> = Vec::new();
    for (name, options, targets) in RUNS {
        let what = format!("Linux, {name}");
        let told = progress.step(&what, || images.run(options, targets.is_some()))?;
        let native = rows.first().map_or(told.boot, |row| row.boot);
        rows.push(Boot {
            name: name.to_owned(),
            boot: told.boot,
            ratio: told.boot / native,
            ratio_target: targets.map(|(ratio, _)| ratio),
            read: told.read,
            read_target: targets.map(|(_, read)| read),
        });
    }
    Ok(rows)
}

/// Files of a run.
pub struct Images {
    xtask: PathBuf,
    kernel: PathBuf,
    /// The same, with other code at its beginning.
    clock: PathBuf,
    initrd: PathBuf,
    disk: PathBuf,
}

impl Images {
    /// Builds what is needed.
    ///
    /// # Errors
    /// If Debian's kernel can't be had, or something does not build.
    pub fn prepare() -> Result<Self> {
        setup::main()?;
        let Linux { kernel, .. } = prepare()?;
        let target = workspace::GUEST_TARGET;
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--quiet", "--package", "first", "--release", "--target", target]);
        workspace::run(cargo, "build the first process")?;
        workspace::build_vmm()?;
        let first = workspace::target_dir().join(target).join("release/first");
        let file = |name: &str, bytes: &[u8]| {
            let path = machine::scratch()?.join(name);
            std::fs::write(&path, bytes).context(format!("write {}", path.display()))?;
            Ok(path)
        };
        let initrd = file("linux.cpio", &initramfs_with(&first)?)?;
        let mut bytes = std::fs::read(&kernel).context(format!("read {}", kernel.display()))?;
        let short = || broken("the kernel is shorter than its header");
        put(&mut bytes, 0, &[JUMP])
            .and_then(|()| put(&mut bytes, CODE, &TELL_TIME))
            .ok_or_else(short)?;
        let clock = file("linux.clock", &bytes)?;
        let disk = file("linux.img", &vec![0x5a; DISK])?;
        Ok(Self { xtask: workspace::build_xtask()?, kernel, clock, initrd, disk })
    }

    fn run(&self, options: &[&str], with_disk: bool) -> Result<Told> {
        let text = self.output(&self.clock, options, with_disk)?;
        let bad = |text| broken(format!("Linux did not come to its end:\n{text}"));
        let start = start(&text).ok_or_else(|| bad(text))?;
        let text = self.output(&self.kernel, options, with_disk)?;
        let told = told(&text, start).filter(|told| told.read.is_some() == with_disk);
        told.ok_or_else(|| bad(text))
    }

    fn output(&self, kernel: &Path, options: &[&str], with_disk: bool) -> Result<String> {
        let mut command = Command::new(&self.xtask);
        command.args(["run", "--icount", "--timeout", PATIENCE, "--memory", "256M"]);
        command.args(["--append", "console=ttyS0"]).args(options);
        let pair = |command: &mut Command, option: &str, path: &Path| {
            command.arg(option).arg(path);
        };
        pair(&mut command, "--kernel", kernel);
        pair(&mut command, "--initrd", &self.initrd);
        if with_disk {
            command.arg("--disk").arg(format!("{},backend=ram", self.disk.display()));
        }
        command.stdin(Stdio::null());
        machine::output(command)
    }
}

/// Puts instructions to `at`, if there is room.
fn put(bytes: &mut [u8], at: usize, code: &[u32]) -> Option<()> {
    let to = bytes.get_mut(at..at + size_of_val(code))?;
    to.chunks_exact_mut(4).zip(code).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
    Some(())
}

/// The time that [`TELL_TIME`] printed, in ticks.
fn start(text: &str) -> Option<f64> {
    let digits = text.lines().find_map(|line| line.trim().strip_prefix('@'))?;
    // Below 2^53 for a hundred years.
    u32::from_str_radix(digits.get(8..)?, 16).ok().map(f64::from)
}

/// The lines `first: NAME = TICKS`, as instructions since `start` ticks.
fn told(text: &str, start: f64) -> Option<Told> {
    let value = |name: &str| {
        let line =
            text.lines().find_map(|line| line.trim().strip_prefix("first: ")?.strip_prefix(name));
        line?.strip_prefix(" = ")?.parse::<f64>().ok()
    };
    let read = value("reads").map(|ticks| ticks * TICK / READS);
    Some(Told { boot: (value("userspace")? - start) * TICK, read })
}

/// The table of them.
pub fn table(rows: &[Boot], look: Look) -> String {
    let mut table = Builder::default();
    table.push_record(["Linux", "to userspace", "of native", "target", "4 KiB read", "target"]);
    let marked = |value: Option<f64>, target: Option<f64>, text: fn(f64) -> String| {
        let misses = value.zip(target).is_some_and(|(value, target)| value > target);
        format!("{}{}", value.map(text).unwrap_or_default(), if misses { " !" } else { "" })
    };
    let ratio = |n: f64| format!("{n:.2}");
    for row in rows {
        table.push_record([
            row.name.clone(),
            number(row.boot),
            marked(Some(row.ratio), row.ratio_target, ratio),
            row.ratio_target.map(ratio).unwrap_or_default(),
            marked(row.read, row.read_target, number),
            row.read_target.map(number).unwrap_or_default(),
        ]);
    }
    finish(table, look, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_instructions() {
        let text = "[    1.0] x\r\nfirst: userspace = 20\r\nfirst: reads = 100\r\n";
        assert_eq!(told(text, 5.0), Some(Told { boot: 1500.0, read: Some(10.0) }));
        assert_eq!(told("first: userspace = 7\n", 0.0), Some(Told { boot: 700.0, read: None }));
        assert_eq!(told("first: reads = 7\n", 0.0), None);
        assert_eq!(start("OpenSBI\r\n@00000000000000ff\r\n"), Some(255.0));
    }

    #[test]
    fn what_misses_its_target_is_marked() {
        let row = |name: &str, ratio, read| Boot {
            name: name.to_owned(),
            boot: 1e9 * ratio,
            ratio,
            ratio_target: Some(1.5),
            read,
            read_target: Some(40_000.0),
        };
        let text =
            table(&[row("good", 1.5, Some(40_000.0)), row("bad", 1.51, None)], Look::Markdown);
        assert!(text.contains("1.50 ") && !text.contains("1.50 !"), "{text}");
        assert!(text.contains("1.51 !"), "{text}");
    }
}
