//! A balloon: Linux gives memory back, with Debian's own driver, and takes it
//! again. Meanwhile the VMM keeps in it what is read from disks.

use std::time::{Duration, Instant};

use tests::Vm;
use tests::linux::{PATIENCE, boot, power_off};
use xtask::mode::{self, Mode};

/// Memory of the guest, and an eighth of it, in MiB.
const ALL: u64 = 256;
const EIGHTH: u64 = ALL / 8;
/// Control and `]`, which calls the monitor.
const ESCAPE: &str = "\x1d";

/// A number that the guest prints for `command`.
fn number(vm: &mut Vm, command: &str) -> u64 {
    // The echo of the command has no number behind the word.
    let text = vm.command(&format!("echo number $({command})"), r"number [0-9]+\r?\n");
    text.trim_end().rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

fn meminfo(vm: &mut Vm, field: &str) -> u64 {
    number(vm, &format!("awk '/^{field}:/ {{ print $2 }}' /proc/meminfo")) / 1024
}

/// Presses `key` of the monitor `times` times, and asks for the list of
/// guests until it shows `pattern`.
fn resize(vm: &mut Vm, key: char, times: usize, pattern: &str) {
    (0..times).for_each(|_| vm.type_text(&format!("{ESCAPE}{key}")));
    let deadline = Instant::now() + PATIENCE;
    loop {
        vm.type_text(&format!("{ESCAPE}l"));
        if vm.find(pattern, Duration::from_secs(1)).is_ok() {
            return;
        }
        assert!(Instant::now() < deadline, "the list never showed {pattern:?}");
    }
}

/// How often reads of disks found what they wanted in spare memory, as the
/// list of the monitor has it.
fn hits(vm: &mut Vm) -> u64 {
    vm.type_text(&format!("{ESCAPE}l"));
    let text = vm.expect(r"read from disks; found: [0-9]+\r?\n");
    text.trim_end().rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

/// A digest of the disk, read from the disk.
fn read_disk(vm: &mut Vm) -> String {
    vm.command("echo 3 >/proc/sys/vm/drop_caches; md5sum /dev/vda", r"[0-9a-f]{32}  /dev/vda\r?\n")
}

fn gives_and_takes(test: &str, options: &[(&str, &str)]) {
    if mode::current() == Mode::Native {
        return tests::skip(test, "bare QEMU has no monitor of ours");
    }
    let memory = format!("{ALL}M");
    let options = [&[("--memory", memory.as_str()), ("--balloon", "0")], options].concat();
    let Some(mut vm) = boot(test, &options) else { return };
    let total = meminfo(&mut vm, "MemTotal");
    let free = meminfo(&mut vm, "MemFree");

    resize(&mut vm, '-', 3, &format!("gave back {} MiB", 3 * EIGHTH));
    let (less, left) = (meminfo(&mut vm, "MemTotal"), meminfo(&mut vm, "MemFree"));
    assert_eq!(total - less, 3 * EIGHTH, "of {total} MiB");
    assert!(left + 2 * EIGHTH < free, "{free} MiB were free, and then {left}");

    // Something written, and read twice: the second time from spare memory.
    vm.command(
        "dd if=/dev/urandom of=/dev/vda bs=4k count=64 conv=fsync; echo is 'done'",
        "is done",
    );
    let digest = read_disk(&mut vm);
    let before = hits(&mut vm);
    assert!(read_disk(&mut vm).ends_with(&digest[digest.len() - 34..]));
    assert!(hits(&mut vm) >= before + 512, "the disk was not found in spare memory");

    // All back, and used.
    resize(&mut vm, '+', 3, &format!("is asked for 0 of its {ALL} MiB"));
    let deadline = Instant::now() + PATIENCE;
    while meminfo(&mut vm, "MemTotal") != total {
        assert!(Instant::now() < deadline, "the memory never came back");
    }
    let fill = "mount -t tmpfs -o size=100% big /mnt; head -c 1M /dev/urandom >/tmp/one; \
                many() { for n in $(seq 90); do cat /tmp/one; done; }; \
                many >/mnt/big; many | cmp - /mnt/big && echo it is 'right'; umount /mnt";
    vm.type_line(fill);
    vm.expect_within("it is right", 2 * PATIENCE);
    assert!(read_disk(&mut vm).ends_with(&digest[digest.len() - 34..]));

    // A guest that starts again has all of its memory, until it is asked.
    resize(&mut vm, '-', 2, &format!("gave back {} MiB", 2 * EIGHTH));
    vm.type_line("reboot");
    vm.expect_within("reboot: Restarting system", PATIENCE);
    vm.expect_within("~ # ", PATIENCE);
    resize(&mut vm, '-', 0, &format!("gave back {} MiB", 2 * EIGHTH));
    assert_eq!(meminfo(&mut vm, "MemTotal"), total - 2 * EIGHTH);
    power_off(&mut vm);
}

#[test]
fn linux_gives_memory_back_and_takes_it_again() {
    gives_and_takes("balloon", &[]);
}

#[test]
fn so_does_one_with_two_vcpus_in_assisted_mode() {
    gives_and_takes("balloon, assisted", &[("--cpus", "2"), ("--cpu", "assisted")]);
}
