//! Two ways to the same result, over random networks, options and seeds.

mod runs;
