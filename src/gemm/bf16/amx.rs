//! The tile unit: its instructions, and whether it is there. The intrinsics are unstable, so these
//! are `asm!`, one block of it from the first sum to the last.

use super::fma;
use super::tile::{Pairs, Sums};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use std::arch::asm;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// A token: it exists only where tiles can be used, which is why using them is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(());

/// The token where tiles can be used: the CPU has them, the system saves them, the process may use
/// them, and they multiply as they should. Found out once.
pub(super) fn available() -> Option<Token> {
    static AVAILABLE: OnceLock<Option<Token>> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let level = Level::avx512().filter(|_| detected() && permitted())?;
        let token = Token(());
        correct(level, token).then_some(token)
    })
}

/// Intel's manual, volume 1, 18.2: CPUID leaf 7 EDX bits 22 (AMX-BF16) and 24 (AMX-TILE), and bits
/// 17 and 18 of XCR0, the states that the system saves.
fn detected() -> bool {
    #[allow(unused_unsafe, reason = "a safe function in newer compilers")]
    // SAFETY: every x86-64 CPU has CPUID; leaf 7 is there because AVX-512 was found in it.
    let features = unsafe { std::arch::x86_64::__cpuid_count(7, 0) }.edx;
    let saved: u32;
    // SAFETY: the system lets programs use XGETBV, or AVX-512 would not have been found.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") saved, out("edx") _, options(nomem, nostack));
    }
    features >> 22 & 1 == 1 && features >> 24 & 1 == 1 && saved >> 17 & 3 == 3
}

/// Asks the kernel for the process's permission to use tile data (Linux,
/// `Documentation/arch/x86/xstate.rst`). A refusal means that there are no tiles.
fn permitted() -> bool {
    /// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`
    const CALL: [u64; 3] = [158, 0x1023, 18];
    let status: i64;
    // SAFETY: the call takes numbers and touches no memory of ours; `syscall` changes rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") CALL[0] => status,
            in("rdi") CALL[1],
            in("rsi") CALL[2],
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    status == 0
}

/// Multiplies two operands on the tiles and by f32 units, which must agree in every bit: of every
/// number of parts, one and two rows of tiles of each.
fn correct(level: Level, token: Token) -> bool {
    struct Both<'a>(&'a Pairs, Token);
    impl Kernel for Both<'_> {
        type Output = bool;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> bool {
            let Both(pairs, token) = self;
            let (mut first, mut second) = ([[Line::ZERO; LINE]; 4], [[Line::ZERO; LINE]; 4]);
            // SAFETY: the operands have the tiles that the pairs say.
            unsafe {
                Tiles::configure(token).block(pairs, &mut first);
                fma::Block::new(pairs, &mut second).run(s);
            }
            first == second
        }
    }
    const DEPTH: usize = 2;
    // Pairs of bf16 between 1 and 2 of both signs, from a multiplicative sequence; two rows of tiles
    // of up to three parts.
    let operand = |seed: u32| -> Vec<Line> {
        let value = |i: u32| (seed ^ i).wrapping_mul(0x9e37_79b1) & 0x807f_807f | 0x3f80_3f80;
        let line = |r: u32| Line(std::array::from_fn(|c| f32::from_bits(value(r * 16 + c as u32))));
        (0..(2 * DEPTH * 3 * LINE) as u32).map(line).collect()
    };
    let (a, b) = (operand(1), operand(2));
    [(1, 1), (1, 2), (1, 3), (2, 2), (3, 3)].into_iter().all(|parts| {
        [(1, 1), (1, 2), (2, 1), (2, 2)].into_iter().all(|rows| {
            let tiles = |lines: &[Line], parts: usize| {
                [&lines[0], &lines[DEPTH * parts * LINE]].map(|line| &raw const *line)
            };
            let (a, b) = ((tiles(&a, parts.0), rows.0), (tiles(&b, parts.1), rows.1));
            dispatch(level, Both(&Pairs { a, b, parts, depth: DEPTH }, token))
        })
    })
}

/// An instruction of [`multiply`], for blocks with one or two rows of tiles of each operand: `a` and
/// `b` load the part of a side that lies `$at` bytes behind its tile, `dot` multiplies what is
/// loaded. Tiles 0 to 3 are the sums, 4 and 5 hold the left operand, 6 and 7 the right one.
macro_rules! step {
    (one, $b:ident, a $at:tt) => {
        concat!("tileloadd tmm4, [{a0} + {line}*1 + ", $at, "]")
    };
    (two, $b:ident, a $at:tt) => {
        concat!(step!(one, $b, a $at), "\ntileloadd tmm5, [{a1} + {line}*1 + ", $at, "]")
    };
    ($a:ident, one, b $at:tt) => {
        concat!("tileloadd tmm6, [{b0} + {line}*1 + ", $at, "]")
    };
    ($a:ident, two, b $at:tt) => {
        concat!(step!($a, one, b $at), "\ntileloadd tmm7, [{b1} + {line}*1 + ", $at, "]")
    };
    (one, one, dot 0) => {
        "tdpbf16ps tmm0, tmm4, tmm6"
    };
    (one, two, dot 0) => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7"
    };
    (two, one, dot 0) => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm2, tmm5, tmm6"
    };
    (two, two, dot 0) => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7\n\
         tdpbf16ps tmm2, tmm5, tmm6\ntdpbf16ps tmm3, tmm5, tmm7"
    };
}

/// The sums of a block, in one `asm!`, because tile registers belong to nobody between two of them:
/// `$a` and `$b` rows of tiles, whose parts take `hop` bytes per tile of the depth; and the steps of
/// such a tile.
macro_rules! multiply {
    ($pairs:ident, $out:ident, $a:ident $a_hop:literal, $b:ident $b_hop:literal, $($kind:ident $at:tt),*) => {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            $(step!($a, $b, $kind $at),)*
            concat!("add {a0}, ", $a_hop),
            concat!("add {a1}, ", $a_hop),
            concat!("add {b0}, ", $b_hop),
            concat!("add {b1}, ", $b_hop),
            "dec {depth}",
            "jnz 2b",
            "tilestored [{out} + {line}*1], tmm0",
            "tilestored [{out} + {line}*1 + 1024], tmm1",
            "tilestored [{out} + {line}*1 + 2048], tmm2",
            "tilestored [{out} + {line}*1 + 3072], tmm3",
            a0 = inout(reg) $pairs.a.0[0] => _,
            a1 = inout(reg) $pairs.a.0[1] => _,
            b0 = inout(reg) $pairs.b.0[0] => _,
            b1 = inout(reg) $pairs.b.0[1] => _,
            depth = inout(reg) $pairs.depth => _,
            line = in(reg) size_of::<Line>(),
            out = in(reg) $out.as_mut_ptr(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// [`multiply`] for the rows of tiles that the operands have.
macro_rules! multiply_rows {
    ($pairs:ident, $out:ident, $a_hop:literal, $b_hop:literal, $($kind:ident $at:tt),*) => {
        match ($pairs.a.1 > 1, $pairs.b.1 > 1) {
            (false, false) => multiply!($pairs, $out, one $a_hop, one $b_hop, $($kind $at),*),
            (false, true) => multiply!($pairs, $out, one $a_hop, two $b_hop, $($kind $at),*),
            (true, false) => multiply!($pairs, $out, two $a_hop, one $b_hop, $($kind $at),*),
            (true, true) => multiply!($pairs, $out, two $a_hop, two $b_hop, $($kind $at),*),
        }
    };
}

/// The tiles of this thread, configured: eight of 16 rows of 64 bytes. They are released at the
/// end, so that the host's thread is left as it was and switching threads costs nothing. Not `Send`,
/// because they are this thread's.
pub(super) struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// Configures this thread's tiles.
    pub(super) fn configure(_: Token) -> Self {
        /// Intel's manual, volume 1, 18.4: palette 1; bytes per row from byte 16 on, two bytes per tile;
        /// rows from byte 48 on.
        #[repr(C, align(64))]
        struct Config([u8; 64]);
        static CONFIG: Config = {
            let mut config = [0; 64];
            config[0] = 1;
            let mut tile = 0;
            while tile < 8 {
                config[16 + 2 * tile] = 64;
                config[48 + tile] = 16;
                tile += 1;
            }
            Config(config)
        };
        // SAFETY: the token says that the CPU has tiles and the process may use them.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, preserves_flags));
        }
        Tiles(PhantomData)
    }

    /// The sums of a block of up to 2 x 2 tiles.
    ///
    /// # Safety
    /// The pairs' tiles can be read.
    #[rustfmt::skip]
    pub(super) unsafe fn block(&self, pairs: &Pairs, out: &mut Sums) {
        assert!(pairs.depth > 0);
        // SAFETY: `self` says that tiles are there and configured; loads stay in the operands by
        // this function's contract, and the four stores of 1 KiB in `out`.
        unsafe {
            // The order of `tile::terms`, which says why; a tile of a part is 1024 bytes.
            match pairs.parts {
                (1, 1) => multiply_rows!(pairs, out, 1024, 1024, a 0, b 0, dot 0),
                (1, 2) => multiply_rows!(pairs, out, 1024, 2048, a 0, b 1024, dot 0, b 0, dot 0),
                (1, 3) => multiply_rows!(
                    pairs, out, 1024, 3072,
                    a 0, b 2048, dot 0, b 1024, dot 0, b 0, dot 0
                ),
                (2, 2) => multiply_rows!(
                    pairs, out, 2048, 2048,
                    a 1024, b 0, dot 0, a 0, dot 0, b 1024, dot 0
                ),
                (3, 3) => multiply_rows!(
                    pairs, out, 3072, 3072,
                    a 2048, b 0, dot 0, a 1024, dot 0, b 1024, dot 0,
                    a 0, dot 0, b 2048, dot 0, b 0, dot 0
                ),
                parts => unreachable!("no product has {parts:?} parts"),
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: they were configured.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
    }
}
