//! Damaged and hostile files, and disks that refuse.

use super::alone::{self, alone, assert_passes, folder_of_parent};
use super::*;
use deltarule::Error;

#[test]
fn every_flipped_byte_and_every_cut_is_detected() {
    let net = net(3, &[(5, Activation::Tanh), (2, Activation::Softmax)]);
    let whole = bytes(&net);
    let mut target = net.clone();
    let folder = Folder::new("flips");
    let path = folder.0.join("file");
    fs::write(&path, &whole).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for i in (0..whole.len()).rev() {
        assert!(Mlp::read_from(&whole[..i]).is_err(), "cut at {i}");
        // Not emptied first: ext4 waits for the disk when an emptied file is written again.
        file.set_len(i as u64).unwrap();
        assert!(Mlp::load(&path).is_err(), "cut at {i}");
        let mut flipped = whole.clone();
        for flip in 1..=255 {
            flipped[i] = whole[i] ^ flip;
            assert!(Mlp::read_from(&flipped[..]).is_err(), "byte {i} ^ {flip}");
            assert!(target.read_weights(&flipped[..]).is_err(), "byte {i} ^ {flip}");
        }
    }
    assert!(Mlp::read_from(&[&whole[..], b"x"].concat()[..]).is_err());
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert!(Mlp::load(&path).is_err());
    assert_eq!(target.digest(), net.digest());
}

/// Peak heap of a refused file: at most twice its size and 64 KiB. One test, because the
/// allocator counts all threads; it alone allocates much.
#[test]
#[ignore = "counts the heap of the whole process: run alone, as the test `refused_files_are_cheap` does"]
fn heap_of_refused_files() {
    let folder = Folder::new("heap-model");
    let path = folder.0.join("file");
    let entry = |i: usize| {
        let at = 4 * i;
        let end = at + 4;
        format!("\"{i:03x}\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[{at},{end}]}}")
    };
    let many: Vec<String> = (0..16_000).map(entry).collect();
    let tall = "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[1,250000],\"data_offsets\":[0,1000000]},\
                \"0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1000000,1000008]}}";
    let mut damaged = Vec::new();
    net(250_000, &[(1, Activation::Identity)]).write_to(&mut damaged).unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let braces = format!("{{\"{}\":1}}", "{".repeat((1 << 20) - 10));
    let keys: Vec<String> = (0..100_000).map(|i| format!("\"{i:x}\":\"\"")).collect();
    let escapes = format!("{{\"__metadata__\":{{\"{}\":\"\",1}}}}", "\\n".repeat(500_000));
    let mut cases = vec![
        ((1u64 << 20) + 1).to_le_bytes().to_vec(),
        u64::MAX.to_le_bytes().to_vec(),
        (1u64 << 20).to_le_bytes().to_vec(),
        b"\x02\0\0\0\0\0\0\0{}".to_vec(),
        by_hand(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967295,4294967295],\"data_offsets\":[0,73786976260623204]}}",
            &[],
        ),
        by_hand(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[1000000000],\"data_offsets\":[0,4000000000]}}",
            &[0; 100],
        ),
        by_hand(&format!("{{{}}}", many.join(",")), &vec![0; 64_000]),
        by_hand(&format!("{{\"__metadata__\":{{{}}}}}", keys.join(",")), &[]),
        by_hand(tall, &vec![0; 1_000_008]),
        by_hand(&braces, &[]),
        by_hand(&escapes, &[]),
        by_hand(&"[".repeat(1 << 20), &[]),
        by_hand(&"{\"a\":".repeat(200_000), &[]),
        damaged,
    ];
    cases.push(cases[6][..cases[6].len() - 1].to_vec());
    for bytes in cases {
        fs::write(&path, &bytes).unwrap();
        let mut target = net(250_000, &[(1, Activation::Identity)]);
        for stream in [false, true] {
            let region = alloc::Region::start();
            let error = match stream {
                false => target.load_weights(&path),
                true => target.read_weights(&bytes[..]),
            };
            let (peak, error) = (region.end().peak_bytes, error.unwrap_err().to_string());
            assert!(peak <= 2 * bytes.len() + 65_536, "{peak} for {} bytes: {error}", bytes.len());
        }
        let region = alloc::Region::start();
        let error = Mlp::load(&path).unwrap_err().to_string();
        let peak = region.end().peak_bytes;
        assert!(peak <= 2 * bytes.len() + 65_536, "{peak} for {} bytes: {error}", bytes.len());
    }
}

#[test]
fn refused_files_are_cheap() {
    assert_passes(alone("damage::heap_of_refused_files"));
}

#[test]
fn errors_of_the_disk_are_answered() {
    let folder = Folder::new("errors");
    let net = &nets()[1];
    let missing = folder.0.join("missing");
    let error = Mlp::load(&missing).unwrap_err();
    assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == missing), "{error}");
    assert!(net.save(missing.join("file")).is_err());
    let error = Mlp::load(&folder.0).unwrap_err().to_string();
    assert!(error.starts_with(folder.0.to_str().unwrap()), "{error}");
    #[cfg(target_os = "linux")]
    {
        // Nothing can be created there, even by root.
        let error = net.save("/proc/model.safetensors").unwrap_err().to_string();
        assert!(error.starts_with("/proc/model.safetensors: "), "{error}");
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = net.write_to(&full).unwrap_err().to_string();
        assert!(error.contains("No space left"), "{error}");
    }
}

#[test]
#[ignore = "a part of `a_disk_that_fills_up_leaves_the_old_file`"]
fn save_on_a_full_disk() {
    let path = folder_of_parent().join("file");
    let error = net(200, &[(100, Activation::Identity)]).save(&path).unwrap_err();
    assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == path), "{error}");
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_the_old_file() {
    let folder = Folder::new("full");
    let small = &nets()[0];
    small.save(folder.0.join("file")).unwrap();
    let child = alone::alone_in(&folder.0, "damage::save_on_a_full_disk");
    assert_passes(alone::on_a_full_disk(&child, 8));
    assert_eq!(Mlp::load(folder.0.join("file")).unwrap().digest(), small.digest());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}
