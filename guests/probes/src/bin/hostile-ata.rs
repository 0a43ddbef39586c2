//! Hostile: rubbish in the registers of the ATA disk, in every order, and
//! resets in the middle of everything. After each round the disk must work.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::ata::{self, ATA, COMMAND, CONTROL, DATA, DEVICE};
use probes::rng::Rng;

probes::probe!(main);

const SECTOR: usize = 256;

/// A kind of rubbish.
type Attack = (&'static str, fn(&mut Rng));

const ATTACKS: &[Attack] = &[
    ("rubbish in all registers", registers),
    ("every command", commands),
    ("commands in commands", nested),
    ("a storm of resets", resets),
    ("data that nobody asked for", data),
    ("wild sectors and counts", wild),
];

fn main(p: &mut Probe) {
    ata::reset();
    ata::command(ata::WRITE_SECTORS, 2047, 1);
    p.hex("write", ata::write(SECTOR, SECTOR, |_| 0x1234).into(), 0x50);
    let mut rng = Rng::new(2025);
    for (name, attack) in ATTACKS {
        attack(&mut rng);
        p.hex(format_args!("after {name}: reset"), ata::reset().into(), 0x50);
        ata::command(ata::READ_SECTORS, 2047, 1);
        let (status, right) = ata::compare(SECTOR, SECTOR, |_| 0x1234);
        p.hex(format_args!("after {name}: status"), status.into(), 0x50);
        p.number(format_args!("after {name}: right halfwords"), right, 256);
    }
}

/// A byte that is any.
fn byte(rng: &mut Rng) -> u8 {
    rng.draw().to_le_bytes()[3]
}

fn registers(rng: &mut Rng) {
    for _ in 0..20_000 {
        match rng.below(9) {
            // Without the commands that write: the last sector is compared.
            7 => ata::set(COMMAND, byte(rng) & 0xcf),
            8 => ata::set(CONTROL, byte(rng)),
            register @ 1..=6 => ata::set(register, byte(rng)),
            _ => {
                let _: u32 = ATA.read(DATA);
            }
        }
    }
}

fn commands(rng: &mut Rng) {
    for code in 0..=255 {
        ata::set(DEVICE, byte(rng));
        // Of the 28-bit addresses, those below 256 sectors.
        ata::command(code, rng.draw().to_le_bytes()[0].into(), byte(rng));
        for _ in 0..600 {
            ATA.write(DATA, 0_u32);
        }
        ata::reset();
    }
}

fn nested(rng: &mut Rng) {
    for _ in 0..2_000 {
        ata::command(ata::READ_SECTORS, 0, byte(rng));
        ata::command(ata::WRITE_SECTORS, 0, byte(rng));
        ata::set(COMMAND, byte(rng));
    }
}

fn resets(rng: &mut Rng) {
    for _ in 0..5_000 {
        ata::command_ext(ata::READ_SECTORS_EXT, rng.below(1024), 512);
        ata::set(CONTROL, 4);
        if rng.below(2) == 0 {
            ata::set(COMMAND, ata::WRITE_MULTIPLE);
        }
        ata::set(CONTROL, 0);
    }
}

fn data(rng: &mut Rng) {
    for _ in 0..20_000 {
        ATA.write(DATA, u32::from(byte(rng)) << 24 | 0xffff);
        let _: u16 = ATA.read(DATA);
    }
}

fn wild(rng: &mut Rng) {
    for code in [ata::READ_SECTORS_EXT, ata::WRITE_SECTORS_EXT, ata::READ_MULTIPLE_EXT] {
        for shift in 0..48 {
            let sector = (2048 | rng.draw()) >> shift;
            if sector >= 2048 {
                ata::command_ext(code, sector, byte(rng).into());
                ata::wait();
            }
        }
    }
}
