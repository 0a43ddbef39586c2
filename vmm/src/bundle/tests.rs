//! Round trips, refusals, and bytes that mean nothing.

use proptest::prelude::*;

use super::*;

fn sample() -> Config {
    let ram = Backend::Ram(Extent::unplaced(5000));
    let qemu = Backend::Qemu { serial: "g0d1".into() };
    let first = Guest {
        name: "xv6".into(),
        memory: 128 << 20,
        cpus: 3,
        kernel: Extent::unplaced(4097),
        disks: vec![
            Disk {
                model: DiskModel::VirtioMmio(MmioVersion::Legacy),
                backend: ram,
                read_only: true,
            },
            Disk { model: DiskModel::Pv, backend: qemu, read_only: false },
        ],
        net: Some(Net {
            model: NetModel::VirtioMmio(MmioVersion::Modern),
            mac: Mac::numbered(0),
            uplink: true,
        }),
        ..Guest::default()
    };
    let second = Guest {
        name: "linux".into(),
        memory: 2 << 20,
        cpus: 1,
        cpu_mode: CpuMode::Assisted,
        boot: Boot::Supervisor,
        bootargs: "console=hvc0 \"x\"".into(),
        kernel: Extent::unplaced(1),
        initrd: Some(Extent::unplaced(0)),
        disks: vec![overlay(Base::Image(1)), overlay(Base::Qemu { serial: "g1d1".into() })],
        net: Some(Net { model: NetModel::Pv, mac: Mac::numbered(1), uplink: false }),
        passed: vec![
            passed(3),
            passed(0),
            Passed { device: RealDevice::Pci { device: 4 }, dma: Dma::Iommu },
        ],
        no_reboot: true,
        console: ConsoleModel::VirtioMmio,
        rng: RngModel::VirtioMmio,
        balloon: Some(64 << 20),
    };
    let images = vec![Extent::unplaced(1), Extent::unplaced(8192)];
    let trace = Causes::CSR | Causes::FLOAT;
    Config {
        trace,
        trace_limit: Some(1 << 40),
        escape: Some(5),
        images,
        guests: vec![first, second],
    }
}

fn passed(slot: u8) -> Passed {
    Passed {
        device: RealDevice::VirtioMmio { slot },
        dma: if slot == 0 { Dma::Trusted } else { Dma::Mediated },
    }
}

fn overlay(base: Base) -> Disk {
    let backend = Backend::Overlay { base, room: 1 << 20 };
    Disk { model: DiskModel::Pv, backend, read_only: false }
}

/// A complete bundle; each payload is filled with its number.
fn bundle(config: &mut Config) -> Vec<u8> {
    let size = config.place();
    let mut bytes = config.header();
    bytes.resize(usize::try_from(size).unwrap(), 0);
    for (number, extent) in config.extents_mut().into_iter().enumerate() {
        let start = usize::try_from(extent.offset).unwrap();
        let end = start + usize::try_from(extent.len).unwrap();
        bytes[start..end].fill(u8::try_from(number).unwrap() + 1);
    }
    bytes
}

fn problem(change: impl FnOnce(&mut Config)) -> String {
    let mut config = sample();
    change(&mut config);
    let bytes = bundle(&mut config);
    Config::parse(&bytes).unwrap_err().to_string()
}

#[test]
fn decoding_undoes_encoding() {
    let mut config = sample();
    let bytes = bundle(&mut config);
    assert_eq!(Config::parse(&bytes), Ok(config));
}

#[test]
fn payloads_are_page_aligned_and_apart() {
    let mut config = sample();
    let bytes = bundle(&mut config);
    let mut last = 0;
    for (number, extent) in config.extents_mut().into_iter().enumerate() {
        assert!(extent.offset.is_multiple_of(ALIGN) && extent.offset >= last);
        last = extent.offset + extent.len;
        let payload = extent.of(&bytes).unwrap();
        assert!(payload.iter().all(|byte| usize::from(*byte) == number + 1));
    }
    assert!(bytes.len().is_multiple_of(4096));
}

#[test]
fn refusals_name_the_node_and_the_property() {
    assert_eq!(problem(|c| c.guests.clear()), "bundle: /: there is no guest");
    assert_eq!(problem(|c| c.guests[0].cpus = 9), "bundle: guest@0: cpus: must be 1 to 8");
    assert_eq!(
        problem(|c| c.guests[1].memory += 4096),
        "bundle: guest@1: memory: must be a multiple of 2 MiB"
    );
    assert_eq!(
        problem(|c| c.guests[1].disks.push(overlay(Base::Qemu { serial: "g0d1".into() }))),
        "bundle: /: two disks have the serial number \"g0d1\""
    );
    assert_eq!(
        problem(|c| c.guests[0].passed.push(passed(3))),
        "bundle: /: linux: a device of it has an owner already"
    );
    assert_eq!(
        problem(|c| c.guests[0].passed.push(passed(8))),
        "bundle: pass@0: slot: must be below 8"
    );
    let pci = |device| Passed { device: RealDevice::Pci { device }, dma: Dma::Iommu };
    assert_eq!(
        problem(|c| c.guests[0].passed.push(pci(5))),
        "bundle: pass@0: slot: must be 1 to 4"
    );
    assert_eq!(
        problem(|c| c.guests[0].passed.push(Passed { dma: Dma::Trusted, ..pci(1) })),
        "bundle: pass@0: dma: is iommu for pci, and for nothing else"
    );
    assert_eq!(problem(|c| c.images.truncate(1)), "bundle: /: linux: its image is not there");
    let room = |c: &mut Config| c.guests[1].disks = vec![overlay(Base::Image(0)); 8];
    let large = |disk: &mut Disk| match &mut disk.backend {
        Backend::Overlay { room, .. } => *room = 65 << 20,
        _ => unreachable!(),
    };
    let too_large = |c: &mut Config| {
        room(c);
        c.guests[1].disks.iter_mut().for_each(large);
    };
    assert_eq!(problem(too_large), "bundle: /: linux: its overlays exceed 512 MiB");
    assert_eq!(
        problem(|c| c.guests[1].net.as_mut().unwrap().mac = Mac([0xff; 6])),
        "bundle: net@0: mac: ff:ff:ff:ff:ff:ff is not one interface"
    );
    let full = |c: &mut Config| c.guests[0].disks = vec![c.guests[0].disks[1].clone(); MAX_DISKS];
    assert_eq!(problem(full), "bundle: guest@0: net@0: the disks leave no slot for it");
    let many = |c: &mut Config| c.guests = vec![c.guests[1].clone(); MAX_GUESTS + 1];
    assert_eq!(problem(many), "bundle: guests: more than 8 nodes guest");
}

#[test]
fn truncated_bundles_are_refused() {
    let mut config = sample();
    let bytes = bundle(&mut config);
    let short = &bytes[..bytes.len() - 4096];
    let error = Config::parse(short).unwrap_err().to_string();
    assert_eq!(error, "bundle: image@1: data: not inside the bundle, at a page boundary");
    assert_eq!(Config::parse(&[]).unwrap_err().to_string(), "bundle: header: shorter than it says");
}

#[test]
fn guest_failures_never_look_like_success_or_panic() {
    assert_eq!(status::of_guest_failure(0), 1);
    assert_eq!(status::of_guest_failure(7), 7);
    for code in [99, 100, 101, 255, 256, 0xffff] {
        assert_eq!(status::of_guest_failure(code), status::GUEST_FAILURE_MAX);
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = Config::parse(&bytes);
    }

    #[test]
    fn damaged_bundles_never_panic(
        damage in prop::collection::vec((0usize..1400, any::<u8>()), 1..8),
        keep in 0usize..1400,
    ) {
        let mut bytes = bundle(&mut sample());
        for (at, value) in damage {
            bytes[at] = value;
        }
        let _ = Config::parse(&bytes);
        let _ = Config::parse(&bytes[..keep]);
    }

    #[test]
    fn what_is_accepted_lies_inside(at in 0usize..1400, value in any::<u8>()) {
        let mut bytes = bundle(&mut sample());
        bytes[at] = value;
        if let Ok(mut config) = Config::parse(&bytes) {
            for extent in config.extents_mut() {
                prop_assert!(extent.of(&bytes).is_some());
            }
        }
    }
}
