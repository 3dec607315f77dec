//! The tile unit: its instructions, and whether it is there. The intrinsics are unstable, so these
//! are `asm!`; the compiler never touches tile registers, so they keep their contents from one
//! block of `asm!` to the next.

use super::fma;
use super::operand::{Pairs, Sums, terms};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use std::arch::asm;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// A token: it exists only where tiles can be used, which is why using them is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(());

/// The token where tiles can be used: the CPU has them, the system saves them, the process may use
/// them, and they multiply as they should. Looked at once.
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
    let answer: i64;
    // SAFETY: the call takes numbers and touches no memory of ours; `syscall` changes rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") CALL[0] => answer,
            in("rdi") CALL[1],
            in("rsi") CALL[2],
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// Multiplies two operands on the tiles and by f32 units, which must agree in every bit.
fn correct(level: Level, token: Token) -> bool {
    struct Both<'a>([&'a [Line]; 2], Token);
    impl Kernel for Both<'_> {
        type Output = bool;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> bool {
            let [a, b] = self.0.map(|x| ([x.as_ptr(); 2], 2));
            let (pairs, tiles) =
                (Pairs { a, b, parts: (1, 1), depth: 2 }, Tiles::configure(self.1));
            let (mut first, mut second) = ([[Line::ZERO; LINE]; 4], [[Line::ZERO; LINE]; 4]);
            // SAFETY: the operands are 2 tiles deep and of one part.
            unsafe {
                tiles.block(&pairs, &mut first);
                fma::block(s, &pairs, &mut second);
            }
            first == second
        }
    }
    // Pairs of bf16 between 1 and 2 of both signs, from a multiplicative sequence.
    let operand = |seed: u32| -> Vec<Line> {
        let value = |i: u32| (seed ^ i).wrapping_mul(0x9e37_79b1) & 0x807f_807f | 0x3f80_3f80;
        let line = |r: u32| Line(std::array::from_fn(|c| f32::from_bits(value(r * 16 + c as u32))));
        (0..2 * LINE as u32).map(line).collect()
    };
    dispatch(level, Both([&operand(1), &operand(2)], token))
}

/// Loads tile `$tile` from 16 lines.
macro_rules! load {
    ($tile:literal, $from:expr) => {
        asm!(
            concat!("tileloadd tmm", $tile, ", [{from} + {line}*1]"),
            from = in(reg) $from,
            line = in(reg) size_of::<Line>(),
            options(nostack, preserves_flags, readonly),
        )
    };
}

/// Stores tile `$tile` to 16 lines.
macro_rules! store {
    ($tile:literal, $to:expr) => {
        asm!(
            concat!("tilestored [{to} + {line}*1], tmm", $tile),
            to = in(reg) $to,
            line = in(reg) size_of::<Line>(),
            options(nostack, preserves_flags),
        )
    };
}

/// Tile `$c` += tile `$a` times tile `$b`.
macro_rules! dot {
    ($c:literal, $a:literal, $b:literal) => {
        asm!(
            concat!("tdpbf16ps tmm", $c, ", tmm", $a, ", tmm", $b),
            options(nomem, nostack, preserves_flags),
        )
    };
}

/// The tiles of this thread, configured: eight of 16 rows of 64 bytes. They are released at the
/// end, so that the host's thread is left as it was and switching threads costs nothing. Not `Send`,
/// because they are this thread's.
pub(super) struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// Configures this thread's tiles.
    pub(super) fn configure(_: Token) -> Self {
        /// Intel's manual, volume 1, 18.4: palette 1; bytes a row from byte 16 on, two bytes a tile;
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

    /// The sums of a block of up to 2 x 2 tiles. Tiles 0 to 3 are the sums, 4 and 5 hold the left
    /// operand, 6 and 7 the right one.
    ///
    /// # Safety
    /// The pairs' tiles can be read.
    pub(super) unsafe fn block(&self, pairs: &Pairs, out: &mut Sums) {
        let Pairs { a, b, parts, depth } = *pairs;
        let (two_a, two_b, terms) = (a.1 > 1, b.1 > 1, terms(parts));
        // SAFETY: `self` says that tiles are there and configured; loads stay in the operands by
        // this function's contract, and stores in `out`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nomem, nostack, preserves_flags),
            );
            for q in 0..depth {
                let mut held = parts;
                for &(i, j) in terms {
                    if held.0 != i {
                        load!(4, a.0[0].add((q * parts.0 + i) * LINE));
                        if two_a {
                            load!(5, a.0[1].add((q * parts.0 + i) * LINE));
                        }
                    }
                    if held.1 != j {
                        load!(6, b.0[0].add((q * parts.1 + j) * LINE));
                        if two_b {
                            load!(7, b.0[1].add((q * parts.1 + j) * LINE));
                        }
                    }
                    held = (i, j);
                    dot!(0, 4, 6);
                    if two_b {
                        dot!(1, 4, 7);
                    }
                    if two_a {
                        dot!(2, 5, 6);
                        if two_b {
                            dot!(3, 5, 7);
                        }
                    }
                }
            }
            let [first, second, third, fourth] = out.each_mut().map(|lines| lines.as_mut_ptr());
            store!(0, first);
            store!(1, second);
            store!(2, third);
            store!(3, fourth);
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: they were configured.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
    }
}
