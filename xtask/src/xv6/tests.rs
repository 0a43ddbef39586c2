//! The series on a made-up tree, in which there is nothing but what it holds
//! on to.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A folder that is gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("trapeze-xv6-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        for (file, text) in FILES {
            let path = dir.join("xv6").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(dir)
    }

    fn tree(&self) -> Tree {
        Tree::new(&self.0.join("xv6")).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FILES: [(&str, &str); 10] = [
    ("Makefile", "OBJS = a.o\nUPROGS = b\n$K/kernel: $(OBJS)\n\tld\nfs.img: $(UPROGS)\n\tmkfs\n"),
    ("kernel/start.c", "void\nstart()\n{\n  w_pmpcfg0(0xf);\n  go();\n}\n"),
    (
        "kernel/trap.c",
        "int\ndevintr()\n{\n  int irq = plic_claim();\n  return irq;\n}\nvoid\nusertrapret(void)\n{\n}\n",
    ),
    (
        "kernel/riscv.h",
        "uint64\nr_sstatus()\n{\n}\nvoid\nw_sstatus(uint64 x)\n{\n}\nuint64\nr_sepc()\n{\n}\n\
         void\nw_sepc(uint64 x)\n{\n}\nuint64\nr_scause()\n{\n}\nuint64\nr_stval()\n{\n}\n\
         uint64\nr_stvec()\n{\n}\nvoid\nw_stvec(uint64 x)\n{\n}\nvoid\nintr_on()\n{\n}\n\
         void\nintr_off()\n{\n}\nint\nintr_get()\n{\n}\n",
    ),
    (
        "kernel/virtio_disk.c",
        "void\nvirtio_disk_init(void)\n{\n}\nvoid\nvirtio_disk_rw(struct buf *b, int write)\n{\n}\n",
    ),
    (
        "kernel/console.c",
        "int\nconsolewrite(int user_src, uint64 src, int n)\n{\n}\nvoid\nconsoleinit(void)\n{\n}\n",
    ),
    ("kernel/uart.c", "void\nuartputc_sync(int c)\n{\n}\n"),
    ("kernel/proc.c", "void\nscheduler(void)\n{\n  for(;;){\n    intr_on();\n  }\n}\n"),
    ("kernel/file.c", "void\nfileinit(void)\n{\n}\n"),
    ("kernel/file.o", "built"),
];

fn read(tree: &Tree, file: &str) -> String {
    fs::read_to_string(tree.path().join(file)).unwrap()
}

/// Applies the series, with something for the files that have to be built.
fn patch(tree: &Tree, series: &[Patch]) {
    let built = tree.path().join("../built");
    fs::write(&built, "").unwrap();
    for file in series.iter().flat_map(|patch| &patch.copy) {
        let is_built = ELSEWHERE.iter().any(|(name, _)| name == file);
        let from = if is_built { built.clone() } else { source(file).unwrap() };
        fs::create_dir_all(tree.path().join(file).parent().unwrap()).unwrap();
        tree.take(&from, file).unwrap();
    }
    for change in tree.changes(series).unwrap() {
        tree.write(&change.file, &change.after).unwrap();
    }
}

#[test]
fn the_series_fits_and_its_lines_are_where_they_belong() {
    let scratch = Scratch::new("fits");
    let tree = scratch.tree();
    patch(&tree, &series().unwrap());
    let start = read(&tree, "kernel/start.c");
    assert!(start.starts_with("#include \"pv.h\"\nvoid\nstart()\n{\n  pv_start();"), "{start}");
    // The page of the registers is asked for when PMP lets us have one.
    assert!(start.contains("w_pmpcfg0(0xf);\n  pv_cpu_start();\n"), "{start}");
    let disk = read(&tree, "kernel/virtio_disk.c");
    let (pv, ata) = (disk.find("pv_disk_init").unwrap(), disk.find("ata_disk_init").unwrap());
    assert!(pv < ata, "in the order of the series: {disk}");
    let makefile = read(&tree, "Makefile");
    let rule = makefile.find("$K/kernel:").unwrap();
    assert!(makefile.rfind("OBJS +=").unwrap() < rule, "{makefile}");
    assert!(read(&tree, "kernel/proc.c").contains("    intr_on();\n    pv_idle();\n"));
}

#[test]
fn reverting_restores_every_byte() {
    let scratch = Scratch::new("revert");
    let tree = scratch.tree();
    let series = series().unwrap();
    patch(&tree, &series);
    assert!(tree.is_patched());
    fs::write(tree.path().join("kernel/pv.d"), "").unwrap();
    assert_eq!(revert(tree.path()).unwrap(), 0);
    assert!(!tree.is_patched() && !tree.path().join("kernel/pv.d").exists());
    for (file, text) in FILES.iter().filter(|(file, _)| !file.ends_with(".o")) {
        assert_eq!(read(&tree, file), *text, "{file}");
    }
    assert!(!tree.path().join("kernel/file.o").exists(), "made of a file that changed");
    let again = revert(tree.path()).unwrap_err().to_string();
    assert!(again.ends_with("is not patched"), "{again}");
}

#[test]
fn a_tree_that_does_not_fit_is_left_alone() {
    let scratch = Scratch::new("misfit");
    let tree = scratch.tree();
    tree.write("kernel/uart.c", "void\nuartputs(char *s)\n{\n}\n").unwrap();
    fs::remove_file(tree.path().join("kernel/file.c")).unwrap();
    let options = Apply { tree: tree.path().to_owned(), to: None, in_place: true };
    let said = apply(&options).unwrap_err().to_string();
    assert!(said.contains("kernel/uart.c: it has no function uartputc_sync"), "{said}");
    assert!(
        said.contains("kernel/file.c: there is no such file") && !said.contains('\n'),
        "{said}"
    );
    assert!(!tree.is_patched() && !read(&tree, "kernel/start.c").contains("pv_start"));
}

#[test]
fn what_changed_since_is_not_taken_out() {
    let scratch = Scratch::new("changed");
    let tree = scratch.tree();
    patch(&tree, &series().unwrap());
    tree.write("kernel/uart.c", "void\nuartputc_sync(int c)\n{\n}\n").unwrap();
    let said = revert(tree.path()).unwrap_err().to_string();
    assert!(said.contains("kernel/uart.c has 0 times what a patch put there"), "{said}");
    assert!(tree.is_patched() && read(&tree, "kernel/start.c").contains("pv_start"));
}

#[test]
fn a_copy_has_sources_only() {
    let scratch = Scratch::new("copy");
    let tree = scratch.tree();
    fs::write(tree.path().join("kernel/kernel"), "built").unwrap();
    let copy = tree.copy_to(&scratch.0.join("copy")).unwrap();
    assert_eq!(read(&copy, "kernel/start.c"), read(&tree, "kernel/start.c"));
    assert!(!copy.path().join("kernel/file.o").exists());
    assert!(!copy.path().join("kernel/kernel").exists());
    let again = tree.copy_to(copy.path()).err().unwrap().to_string();
    assert!(again.contains("is there already"), "{again}");
}

#[test]
fn a_folder_without_xv6_is_told() {
    let said = Tree::new(Path::new("/nowhere")).err().unwrap().to_string();
    assert!(said.starts_with("there is no xv6-riscv in /nowhere"), "{said}");
}
