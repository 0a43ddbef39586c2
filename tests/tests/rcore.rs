//! Third-party Rust kernels, through their shells: rCore tutorial, chapters 6
//! and 8 (published crates, built under `target/guests`).

use std::time::Duration;

use tests::Vm;
use xtask::guests::{Guest, Recipe, prepare};

/// What the shell prints when a program has ended well.
const WELL: &str = r"exited with code 0\n>> $";
/// Their whole test programs; 35 s natively for the longest.
const LONG: Duration = Duration::from_secs(900);

fn guest(recipe: Recipe) -> Guest {
    prepare(recipe).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Boots to the shell.
fn boot(recipe: Recipe, cpu: &str) -> Vm {
    let guest = guest(recipe);
    let builder = Vm::builder(&guest.kernel).option("--cpu", cpu);
    let mut vm = builder.disk(&guest.disk, "version=1").start();
    vm.expect(r"Rust user shell\n>> $");
    vm
}

/// Runs a test program of theirs to its own verdict.
fn passes(vm: &mut Vm, program: &str, verdict: &str) {
    let output = vm.command(program, WELL);
    assert!(output.contains(verdict), "{program}: {output}");
}

#[test]
fn chapter_6_writes_a_file_and_reads_it_back() {
    let mut vm = boot(Recipe::Chapter6, "classic");
    passes(&mut vm, "filetest_simple", "file_test passed!");
    passes(&mut vm, "cat_filea", "Hello, world!");
}

#[test]
fn chapter_6_finds_its_file_after_a_reboot() {
    let guest = guest(Recipe::Chapter6);
    let scratch = tests::Scratch::new();
    let disk = scratch.copy("disk.img", &guest.disk);
    for (program, verdict) in [("filetest_simple", "passed"), ("cat_filea", "Hello, world!")] {
        let mut vm = Vm::builder(&guest.kernel).shared_disk(&disk, "version=1").start();
        vm.expect(r"Rust user shell\n>> $");
        passes(&mut vm, program, verdict);
        vm.interrupt();
        vm.wait();
    }
}

#[test]
fn chapter_6_passes_its_own_tests() {
    let mut vm = boot(Recipe::Chapter6, "classic");
    vm.type_line("ch6b_usertest");
    let output = vm.expect_within(WELL, LONG);
    assert!(output.contains("Basic usertests passed!"));
    // This one writes to memory that it gave back, and is meant to die of it.
    assert!(output.contains("Test sbrk") && output.matches("exited with code -3").count() == 1);
}

#[test]
fn chapter_6_survives_programs_that_misbehave() {
    let mut vm = boot(Recipe::Chapter6, "classic");
    for program in ["01store_fault", "03priv_inst", "04priv_csr"] {
        vm.command(program, r"exited with code -\d+\n>> $");
    }
    passes(&mut vm, "00hello_world", "Hello, world from user mode program!");
}

#[test]
fn chapter_8_has_threads_pipes_and_locks() {
    let mut vm = boot(Recipe::Chapter8, "classic");
    for (program, verdict) in [
        ("threads", "threads test passed!"),
        ("pipetest", "pipetest passed!"),
        ("sync_sem", "sync_sem passed!"),
        ("test_condvar", "test_condvar passed!"),
    ] {
        passes(&mut vm, program, verdict);
    }
}

#[test]
fn chapter_8_passes_its_own_tests() {
    let mut vm = boot(Recipe::Chapter8, "classic");
    vm.type_line("ch8b_usertest");
    let output = vm.expect_within(r"Process 3 exited with code 0\n>> $", LONG);
    assert!(output.contains("Basic usertests passed!"));
}

/// Chapter 6 in assisted mode: files, its own tests, and programs that die.
#[test]
fn chapter_6_runs_assisted() {
    let mut vm = boot(Recipe::Chapter6, "assisted");
    passes(&mut vm, "filetest_simple", "file_test passed!");
    for program in ["01store_fault", "03priv_inst", "04priv_csr"] {
        vm.command(program, r"exited with code -\d+\n>> $");
    }
    vm.type_line("ch6b_usertest");
    let output = vm.expect_within(WELL, LONG);
    assert!(output.contains("Basic usertests passed!"));
}

#[test]
fn chapter_8_runs_assisted() {
    let mut vm = boot(Recipe::Chapter8, "assisted");
    vm.type_line("ch8b_usertest");
    let output = vm.expect_within(r"Process 3 exited with code 0\n>> $", LONG);
    assert!(output.contains("Basic usertests passed!"));
}
