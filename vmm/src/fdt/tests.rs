//! The tree read back, by the crate that wrote it and by `dtc`.

use std::io::Write;
use std::process::{Command, Stdio};

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

use super::*;
use crate::bus::{Region, Width};

fn description() -> Description<'static> {
    Description {
        memory: Window { base: bus::RAM_BASE, size: 0x1_0800_0000 },
        cpus: 3,
        extensions: &[],
        timebase: 10_000_000,
        bootargs: "console=ttyS0 root=/dev/vda",
        initrd: Some((Gpa(0x8800_0000), Gpa(0x8812_3456))),
        seed: Some([5; 64]),
        sbi: false,
        plic_sources: 95,
        virtio: 0b1000_0011,
        rtc: true,
        ata: Some(Ata {
            command: Window { base: Gpa(0x1001_0000), size: 8 },
            control: Window { base: Gpa(0x1001_0010), size: 1 },
            irq: 12,
        }),
        pci: true,
        pv: Some(0x0800_0000),
    }
}

/// No option, in vS.
fn bare() -> Description<'static> {
    Description {
        cpus: 1,
        bootargs: "",
        initrd: None,
        seed: None,
        sbi: true,
        virtio: 0,
        rtc: false,
        ata: None,
        pci: false,
        pv: None,
        ..description()
    }
}

fn cells(node: &FdtNode<'_>, name: &str) -> Vec<u32> {
    let property = node.property(name).unwrap_or_else(|| panic!("{} has no {name}", node.name()));
    property.value().chunks(4).map(|cell| u32::from_be_bytes(cell.try_into().unwrap())).collect()
}

fn texts(node: &FdtNode<'_>, name: &str) -> Vec<String> {
    let value = node.property(name).unwrap().value().to_vec();
    let value = String::from_utf8(value).unwrap();
    value.strip_suffix('\0').unwrap().split('\0').map(String::from).collect()
}

fn window(node: &FdtNode<'_>) -> (u64, u64) {
    let reg = cells(node, "reg");
    let pair = |n: usize| u64::from(reg[n]) << 32 | u64::from(reg[n + 1]);
    (pair(0), pair(2))
}

fn names(node: &FdtNode<'_>) -> Vec<String> {
    node.children().map(|child| child.name().to_string()).collect()
}

#[test]
fn every_node_is_there_and_no_other() {
    let blob = description().build();
    let root = Fdt::new(&blob).unwrap().root();
    assert_eq!(
        names(&root),
        ["chosen", "aliases", "memory@80000000", "cpus", "soc", "poweroff", "reboot", "hypervisor"]
    );
    assert_eq!(
        names(&root.child("soc").unwrap()),
        [
            "plic@c000000",
            "clint@2000000",
            "test@100000",
            "serial@10000000",
            "rtc@101000",
            "ata@10010000",
            "virtio_mmio@10001000",
            "virtio_mmio@10002000",
            "virtio_mmio@10008000",
            "pci@30000000",
        ]
    );
    let blob = bare().build();
    let root = Fdt::new(&blob).unwrap().root();
    let soc = root.child("soc").unwrap();
    assert_eq!(names(&soc), ["plic@c000000", "test@100000", "serial@10000000"]);
    assert!(root.child("hypervisor").is_none());
}

#[test]
fn devices_are_where_the_bus_finds_them() {
    let blob = description().build();
    let soc = Fdt::new(&blob).unwrap().find_node("/soc").unwrap();
    for device in soc.children().filter(|device| !device.name().starts_with("ata")) {
        let (base, size) = window(&device);
        let (region, offset) = bus::find(Gpa(base), Width::Byte);
        assert!(region != Region::None && offset == 0, "{}", device.name());
        assert_eq!(bus::find(Gpa(base + size - 1), Width::Byte), (region, size - 1));
        assert_ne!(bus::find(Gpa(base + size), Width::Byte).0, region, "{}", device.name());
        assert!(device.name().ends_with(&format!("@{base:x}")));
    }
}

#[test]
fn references_lead_somewhere() {
    for description in [description(), bare()] {
        let blob = description.build();
        let fdt = Fdt::new(&blob).unwrap();
        let soc = fdt.find_node("/soc").unwrap();
        let plic = cells(&soc.child("plic").unwrap(), "phandle");
        for device in soc.children().filter(|device| device.property("interrupts").is_some()) {
            assert_eq!(cells(&device, "interrupt-parent"), plic);
            let irq = cells(&device, "interrupts")[0];
            assert!(irq > 0 && irq <= description.plic_sources);
        }
        let test = cells(&soc.child("test").unwrap(), "phandle");
        for (name, value) in [("poweroff", 0x5555), ("reboot", 0x7777)] {
            let node = fdt.root().child(name).unwrap();
            assert_eq!(
                (cells(&node, "regmap"), cells(&node, "value")),
                (test.clone(), vec![value])
            );
        }
        let chosen = fdt.find_node("/chosen").unwrap();
        let console = fdt.find_node(&texts(&chosen, "stdout-path")[0]).unwrap();
        assert_eq!(texts(&console, "compatible"), ["ns16550a"]);
        assert_eq!(window(&console), (bus::UART.base.0, bus::UART.size));
    }
}

#[test]
fn harts_have_interrupt_controllers_of_their_own() {
    let blob = description().build();
    let fdt = Fdt::new(&blob).unwrap();
    let cpus = fdt.find_node("/cpus").unwrap();
    assert_eq!(cells(&cpus, "timebase-frequency"), [10_000_000]);
    let mut phandles = vec![];
    for (hart, cpu) in (0u32..).zip(cpus.children()) {
        assert_eq!(cells(&cpu, "reg"), [hart]);
        assert_eq!(texts(&cpu, "mmu-type"), ["riscv,sv39"]);
        phandles.push(cells(&cpu.child("interrupt-controller").unwrap(), "phandle")[0]);
    }
    let [a, b, c] = phandles[..] else { panic!("{phandles:?}") };
    let plic = fdt.find_node("/soc/plic@c000000").unwrap();
    assert_eq!(cells(&plic, "interrupts-extended"), [a, 11, a, 9, b, 11, b, 9, c, 11, c, 9]);
    assert_eq!(cells(&plic, "riscv,ndev"), [95]);
    let clint = fdt.find_node("/soc/clint@2000000").unwrap();
    assert_eq!(cells(&clint, "interrupts-extended"), [a, 3, a, 7, b, 3, b, 7, c, 3, c, 7]);
}

#[test]
fn under_sbi_the_m_contexts_are_nobodys() {
    let blob = bare().build();
    let plic = Fdt::new(&blob).unwrap().find_node("/soc/plic@c000000").unwrap();
    let phandle = bare().cpu_phandle(0);
    assert_eq!(cells(&plic, "interrupts-extended"), [phandle, u32::MAX, phandle, 9]);
}

#[test]
fn extensions_are_said_twice_and_alike() {
    let base = "rv64imafdc_zicntr_zicsr_zifencei";
    for (description, tail) in [
        (description(), vec![]),
        (bare(), vec!["sstc"]),
        (Description { extensions: &["sstc"], ..description() }, vec!["sstc"]),
        (Description { extensions: &["svade", "zba"], ..bare() }, vec!["zba", "sstc", "svade"]),
    ] {
        let blob = description.build();
        let cpu = Fdt::new(&blob).unwrap().find_node("/cpus/cpu@0").unwrap();
        let isa = tail.iter().fold(String::from(base), |isa, name| isa + "_" + name);
        assert_eq!(texts(&cpu, "riscv,isa"), [isa]);
        assert_eq!(texts(&cpu, "riscv,isa-base"), ["rv64i"]);
        let mut list = vec!["i", "m", "a", "f", "d", "c", "zicntr", "zicsr", "zifencei"];
        list.extend(tail);
        assert_eq!(texts(&cpu, "riscv,isa-extensions"), list);
    }
}

#[test]
fn memory_and_boot_arguments_are_passed_on() {
    let blob = description().build();
    let fdt = Fdt::new(&blob).unwrap();
    let memory = fdt.find_node("/memory@80000000").unwrap();
    assert_eq!(window(&memory), (0x8000_0000, 0x1_0800_0000));
    let chosen = fdt.find_node("/chosen").unwrap();
    assert_eq!(texts(&chosen, "bootargs"), ["console=ttyS0 root=/dev/vda"]);
    assert_eq!(cells(&chosen, "linux,initrd-start"), [0, 0x8800_0000]);
    assert_eq!(cells(&chosen, "linux,initrd-end"), [0, 0x8812_3456]);
    assert_eq!(cells(&chosen, "rng-seed"), [0x0505_0505; 16]);
    let blob = Description { bootargs: "quiet\0init=/bin/sh", ..bare() }.build();
    let chosen = Fdt::new(&blob).unwrap().find_node("/chosen").unwrap();
    assert_eq!(texts(&chosen, "bootargs"), ["quiet"]);
    assert!(chosen.property("linux,initrd-start").is_none());
    assert!(chosen.property("rng-seed").is_none());
}

#[test]
fn options_carry_their_values() {
    let blob = description().build();
    let fdt = Fdt::new(&blob).unwrap();
    let ata = fdt.find_node("/soc/ata@10010000").unwrap();
    assert_eq!(cells(&ata, "reg"), [0, 0x1001_0000, 0, 8, 0, 0x1001_0010, 0, 1]);
    assert_eq!(cells(&ata, "interrupts"), [12]);
    let pv = fdt.root().child("hypervisor").unwrap();
    assert_eq!(cells(&pv, "trapeze,sbi-extension"), [0x0800_0000]);
    let slot = fdt.find_node("/soc/virtio_mmio@10008000").unwrap();
    assert_eq!(cells(&slot, "interrupts"), [8]);
}

#[test]
fn pci_has_the_interrupts_of_the_board() {
    let blob = description().build();
    let pci = Fdt::new(&blob).unwrap().find_node("/soc/pci@30000000").unwrap();
    assert_eq!(texts(&pci, "compatible"), ["pci-host-ecam-generic"]);
    assert_eq!(cells(&pci, "bus-range"), [0, 0]);
    assert_eq!(cells(&pci, "ranges"), [0x200_0000, 0, 0x4000_0000, 0, 0x4000_0000, 0, 0x4000_0000]);
    assert_eq!(cells(&pci, "interrupt-map-mask"), [0x1800, 0, 0, 7]);
    let map = cells(&pci, "interrupt-map");
    let lines: Vec<_> = map.chunks(6).map(|entry| (entry[0] >> 11, entry[3], entry[5])).collect();
    assert_eq!(
        lines[..6],
        [(0, 1, 32), (0, 2, 33), (0, 3, 34), (0, 4, 35), (1, 1, 33), (1, 2, 34)]
    );
    assert_eq!((lines.len(), lines[15]), (16, (3, 4, 34)));
}

#[test]
fn the_largest_tree_fits_its_room() {
    let bootargs = "x".repeat(16 << 10);
    let largest = Description { cpus: 64, virtio: 0xff, bootargs: &bootargs, ..description() };
    assert!((largest.build().len() as u64) < crate::load::TREE_ROOM);
}

/// Has `dtc` read the blob; returns its source form, or `None` without `dtc`.
fn dtc(blob: &[u8]) -> Option<String> {
    let mut dtc = Command::new("dtc")
        .args(["-I", "dtb", "-O", "dts", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    dtc.stdin.take().unwrap().write_all(blob).unwrap();
    let output = dtc.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn dtc_reads_it_without_complaint() {
    for description in [description(), bare()] {
        let Some(source) = dtc(&description.build()) else {
            eprintln!("skipped: dtc is not installed (apt install device-tree-compiler)");
            return;
        };
        assert!(source.contains("compatible = \"riscv-virtio\";"), "{source}");
    }
}
