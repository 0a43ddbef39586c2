//! The C header is made from the crate: this test makes it anew and compares.
//! After a change, `TRAPEZE_BLESS=1 cargo test -p trapeze-protocol` writes it.

use std::fmt::Write;
use std::{env, fs, path::Path};

use trapeze_protocol::call::{self, Error, Function, Version};
use trapeze_protocol::device::{self, DeviceType, balloon, block, console, entropy, net};
use trapeze_protocol::{cpu, interrupt, queue};

const HEADER: &str = "include/trapeze.h";

/// What C needs and Rust says in another way: the text between the numbers.
const INTRODUCTION: &str = "\
/* The paravirtual interface of Trapeze: see docs/protocol.md.
 * Made from the crate `trapeze-protocol` by its test; do not edit.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef TRAPEZE_H
#define TRAPEZE_H

#include <stdint.h>
";

const CALL: &str = "
/* One hypercall. Only for a kernel that knows that it is a guest: see
 * \"Am I a guest?\" in docs/protocol.md. Not from user mode. */
struct trapeze_reply {
    int64_t error;
    uint64_t value;
};

static inline struct trapeze_reply trapeze_call(uint64_t function, uint64_t arg0, uint64_t arg1,
                                                uint64_t arg2, uint64_t arg3, uint64_t arg4,
                                                uint64_t arg5)
{
    register uint64_t a0 __asm__(\"a0\") = arg0;
    register uint64_t a1 __asm__(\"a1\") = arg1;
    register uint64_t a2 __asm__(\"a2\") = arg2;
    register uint64_t a3 __asm__(\"a3\") = arg3;
    register uint64_t a4 __asm__(\"a4\") = arg4;
    register uint64_t a5 __asm__(\"a5\") = arg5;
    register uint64_t a6 __asm__(\"a6\") = function;
    register uint64_t a7 __asm__(\"a7\") = TRAPEZE_EXTENSION;
    __asm__ volatile(\"ecall\"
                     : \"+r\"(a0), \"+r\"(a1)
                     : \"r\"(a2), \"r\"(a3), \"r\"(a4), \"r\"(a5), \"r\"(a6), \"r\"(a7)
                     : \"memory\");
    return (struct trapeze_reply){(int64_t)a0, a1};
}

#endif
";

/// A header in the making.
struct Header(String);

impl Header {
    fn title(&mut self, title: &str) {
        writeln!(self.0, "\n/* {title} */").unwrap();
    }

    fn number(&mut self, name: &str, value: u64) {
        let name = format!("TRAPEZE_{}", name.to_uppercase());
        writeln!(self.0, "#define {name:<36} {value:#x}ul").unwrap();
    }

    fn flags<T: bitflags::Flags<Bits: Into<u64>>>(&mut self, prefix: &str) {
        for flag in T::FLAGS {
            self.number(&format!("{prefix}_{}", flag.name()), flag.value().bits().into());
        }
    }

    fn calls(&mut self) {
        self.title("Hypercalls: a7, a6, a0; and the value of `version`");
        self.number("extension", call::EXTENSION);
        self.number("version", Version::CURRENT.to_value());
        for function in Function::ALL {
            self.number(&format!("call_{}", function.name()), function as u64);
        }
        self.flags::<call::Features>("feature");
        self.title("Errors, in a0");
        for error in Error::ALL {
            let name = format!("{error:?}").chars().fold(String::new(), |mut name, c| {
                name.push_str(if c.is_uppercase() { "_" } else { "" });
                name.push(c.to_ascii_uppercase());
                name
            });
            let name = format!("TRAPEZE_ERROR{name}");
            writeln!(self.0, "#define {name:<36} ({}l)", error as i64).unwrap();
        }
    }

    fn devices(&mut self) {
        self.title("Devices");
        self.number("max_devices", device::MAX_DEVICES);
        for kind in DeviceType::ALL {
            self.number(&format!("device_{kind:?}"), kind as u64);
        }
        self.flags::<device::Status>("status");
        self.flags::<device::RingFeatures>("ring");
        self.title("Block");
        self.flags::<block::Features>("block_f");
        self.number("block_queue", block::QUEUE.into());
        self.number("block_sector", block::SECTOR);
        self.number("block_read", block::Kind::READ.0.into());
        self.number("block_write", block::Kind::WRITE.0.into());
        self.number("block_flush", block::Kind::FLUSH.0.into());
        self.number("block_get_id", block::Kind::GET_ID.0.into());
        self.number("block_ok", block::Status::OK.0.into());
        self.number("block_io_error", block::Status::IO_ERROR.0.into());
        self.number("block_unsupported", block::Status::UNSUPPORTED.0.into());
        self.title("Console");
        self.flags::<console::Features>("console_f");
        self.number("console_receive", console::RECEIVE.into());
        self.number("console_transmit", console::TRANSMIT.into());
        self.number("console_emerg_wr", console::EMERG_WR);
        self.title("Entropy");
        self.number("entropy_queue", entropy::QUEUE.into());
        self.title("Balloon");
        self.flags::<balloon::Features>("balloon_f");
        self.number("balloon_inflate", balloon::INFLATE.into());
        self.number("balloon_deflate", balloon::DEFLATE.into());
        self.title("Network");
        self.flags::<net::Features>("net_f");
        self.flags::<net::LinkStatus>("net_s");
        self.number("net_receive", net::RECEIVE.into());
        self.number("net_transmit", net::TRANSMIT.into());
    }

    /// Offsets from `x0`, also for assembly.
    fn cpu_page(&mut self) {
        use cpu::offset;
        self.title("The CPU page: offsets from x0, in S-mode");
        let offsets = [
            ("sstatus", offset::SSTATUS),
            ("sie", offset::SIE),
            ("stvec", offset::STVEC),
            ("sscratch", offset::SSCRATCH),
            ("sepc", offset::SEPC),
            ("scause", offset::SCAUSE),
            ("stval", offset::STVAL),
            ("pending", offset::PENDING),
            ("kernel_satp", offset::KERNEL_SATP),
            ("user_satp", offset::USER_SATP),
            ("scratch", offset::SCRATCH),
        ];
        for (name, at) in offsets {
            let name = format!("TRAPEZE_CPU_{}", name.to_uppercase());
            writeln!(self.0, "#define {name:<36} ({at})").unwrap();
        }
    }

    fn memory(&mut self) {
        self.title("Queues");
        self.flags::<queue::DescriptorFlags>("descriptor");
        self.number("avail_no_interrupt", queue::AVAIL_NO_INTERRUPT.into());
        self.number("used_no_notify", queue::USED_NO_NOTIFY.into());
        self.title("Interrupts: a1 of interrupt_set_up, and the flags of the line");
        self.number("line_supervisor", interrupt::Line::SupervisorExternal as u64);
        self.number("line_machine", interrupt::Line::MachineExternal as u64);
        self.flags::<interrupt::Flags>("interrupt");
        self.cpu_page();
        self.0.push('\n');
        self.layouts();
    }
}

/// Structures: name and fields as (type, name, offset), checked against the
/// crate's.
macro_rules! layouts {
    ($($name:literal: $ty:ty { $($c:literal $field:ident $($dim:literal)?),* $(,)? })*) => {
        impl Header {
            fn layouts(&mut self) {
                $(
                    writeln!(self.0, "struct trapeze_{} {{", $name).unwrap();
                    let mut end = 0;
                    $(
                        let at = std::mem::offset_of!($ty, $field);
                        assert_eq!(at, end, "a gap before {}", stringify!($field));
                        let dim: &str = concat!("", $("[", $dim, "]")?);
                        writeln!(self.0, "    {} {}{dim};", $c, stringify!($field)).unwrap();
                        end += c_size($c) $(* $dim)?;
                    )*
                    assert_eq!(end, size_of::<$ty>(), "{} is not complete", $name);
                    let align = align_of::<$ty>();
                    let natural = align <= 8;
                    let tail = if natural { String::new() } else {
                        format!(" __attribute__((aligned({align})))")
                    };
                    writeln!(self.0, "}}{tail};\n").unwrap();
                )*
                self.0.pop();
            }
        }
    };
}

layouts! {
    "descriptor": queue::Descriptor {
        "uint64_t" address, "uint32_t" length, "uint16_t" flags, "uint16_t" next,
    }
    "used_element": queue::UsedElement { "uint32_t" id, "uint32_t" length }
    "interrupt_line": interrupt::InterruptLine {
        "uint64_t" pending, "uint64_t" changed, "uint32_t" flags, "uint32_t" reserved 11,
    }
    "cpu_registers": cpu::Registers {
        "uint64_t" sstatus, "uint64_t" sie, "uint64_t" stvec, "uint64_t" sscratch, "uint64_t" sepc,
        "uint64_t" scause, "uint64_t" stval, "uint64_t" pending,
    }
    "block_header": block::Header { "uint32_t" kind, "uint32_t" reserved, "uint64_t" sector }
    "block_config": block::Config {
        "uint64_t" capacity, "uint32_t" size_max, "uint32_t" seg_max, "uint8_t" geometry 4,
        "uint32_t" blk_size,
    }
    "console_config": console::Config {
        "uint16_t" cols, "uint16_t" rows, "uint32_t" max_nr_ports, "uint32_t" emerg_wr,
    }
    "balloon_config": balloon::Config { "uint32_t" num_pages, "uint32_t" actual }
    "net_config": net::Config {
        "uint8_t" mac 6, "uint16_t" status, "uint16_t" max_virtqueue_pairs, "uint16_t" mtu,
    }
    "net_header": net::Header {
        "uint8_t" flags, "uint8_t" gso_type, "uint16_t" hdr_len, "uint16_t" gso_size,
        "uint16_t" csum_start, "uint16_t" csum_offset, "uint16_t" num_buffers,
    }
}

fn c_size(ty: &str) -> usize {
    ty.trim_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap() / 8
}

fn generate() -> String {
    let mut header = Header(INTRODUCTION.to_owned());
    header.calls();
    header.devices();
    header.memory();
    header.0.push_str(CALL);
    header.0
}

#[test]
fn the_c_header_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(HEADER);
    let expected = generate();
    if env::var_os("TRAPEZE_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{HEADER} is stale: run with TRAPEZE_BLESS=1 and commit it");
}
