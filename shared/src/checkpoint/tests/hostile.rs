//! Files that want something run, that lie about their sizes, or that are damaged.

use super::super::{Checkpoint, CheckpointError, read};
use super::{DEFLATED, LEGACY, LEGACY4, TRAINING, ZIP};
use proptest::prelude::*;

fn refused(bytes: &[u8]) -> String {
    match read(bytes).unwrap_err() {
        CheckpointError::Refused { global } => global,
        error => panic!("{error}"),
    }
}

fn class(bytes: &[u8]) -> String {
    match read(bytes).unwrap_err() {
        CheckpointError::WholeObject { class } => class,
        error => panic!("{error}"),
    }
}

/// A legacy file around an object pickle, with no storages.
fn legacy(object: &[u8]) -> Vec<u8> {
    [b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", &b"\x80\x02M\xe9\x03."[..], b"\x80\x02}.", object, b"\x80\x02]."].concat()
}

#[test]
fn nothing_but_tensors_is_run() {
    // `os.system` is `posix.system` where it was pickled.
    assert_eq!(refused(include_bytes!("../fixtures/evil.pt")), "posix.system");
    assert_eq!(refused(include_bytes!("../fixtures/evil_nested.pt")), "posix.system", "inside a list inside a state dict");
    assert_eq!(refused(include_bytes!("../fixtures/evil_legacy.pt")), "posix.system", "by STACK_GLOBAL");
    assert_eq!(refused(include_bytes!("../fixtures/evil.pkl")), "posix.system", "a plain pickle of protocol 0");
    assert_eq!(refused(&legacy(b"cos\nsystem\n(S'true'\ntR.")), "os.system");
    assert_eq!(refused(&legacy(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.")), "os.system");
    assert_eq!(refused(&legacy(b"(S'true'\nios\nsystem\n.")), "os.system", "by INST");
    assert_eq!(refused(&legacy(b"(cbuiltins\neval\nS'1'\no.")), "builtins.eval", "by OBJ");
    assert_eq!(refused(&legacy(b"ctorch.storage\n_load_from_bytes\n.")), "torch.storage._load_from_bytes");
    insta::assert_snapshot!(read(include_bytes!("../fixtures/evil.pt")).unwrap_err(), @"it wants to run `posix.system`; only tensors are read, and nothing was run. If you trust whoever wrote it, save its weights alone with `torch.save(model.state_dict(), FILE)`, or as a safetensors file; otherwise delete it");
}

#[test]
fn a_whole_module_is_told_from_its_weights() {
    assert_eq!(class(include_bytes!("../fixtures/module.pt")), "torch.nn.modules.container.Sequential");
    assert_eq!(class(include_bytes!("../fixtures/module_legacy.pt")), "torch.nn.modules.linear.Linear");
    insta::assert_snapshot!(read(include_bytes!("../fixtures/module.pt")).unwrap_err(), @r#"it holds a whole Python object of class `torch.nn.modules.container.Sequential`, not its weights; only tensors are read. If you trust whoever wrote it, run `torch.save(torch.load(FILE, weights_only=False).state_dict(), "weights.pt")` where that class can be imported, and use weights.pt"#);
}

/// A state dict of one tensor whose storage announces `numel` floats.
fn one_tensor(numel: &[u8], arguments: &[u8]) -> Vec<u8> {
    let id = [b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu", numel, b"NtQ"].concat();
    let object = [b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(", &id[..], arguments, b"tRs."].concat();
    let mut file = legacy(&object);
    file.truncate(file.len() - 4);
    // The list of storages, then the only one: its count of one element, and the element.
    [&file[..], b"\x80\x02]X\x01\x00\x00\x000a.", &1u64.to_le_bytes(), &1.0f32.to_le_bytes()].concat()
}

#[test]
fn sizes_that_the_file_does_not_hold_are_refused() {
    let error = |numel: &[u8], arguments: &[u8]| read(&one_tensor(numel, arguments)).map(drop).unwrap_err().to_string();
    assert_eq!(read(&one_tensor(b"K\x01", b"K\x00K\x01\x85K\x01\x85")).unwrap().tensors["w"].data, [1.0], "the honest one");
    insta::assert_snapshot!(error(b"K\x02", b"K\x00K\x01\x85K\x01\x85"), @"its storage 0 is broken: it has 1 elements, expected 2; fetch the file again");
    insta::assert_snapshot!(error(b"K\x01", b"K\x00K\x02\x85K\x01\x85"), @"its tensor w is broken: it reaches element 1 of its storage 0, which ends at 1; fetch the file again");
    insta::assert_snapshot!(error(b"K\x01", b"K\x01K\x01\x85K\x01\x85"), @"its tensor w is broken: it reaches element 1 of its storage 0, which ends at 1; fetch the file again");
    // 2^62 copies of one element, and 2^62 x 2^62.
    let huge = b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40";
    insta::assert_snapshot!(error(b"K\x01", &[b"K\x00", &huge[..], b"\x85K\x00\x85"].concat()), @"its tensors up to w would take more than 17688 bytes, too many for a file of its size; save it anew, uncompressed and without expanded views");
    insta::assert_snapshot!(error(b"K\x01", &[b"K\x00", &huge[..], huge, b"\x86K\x00K\x00\x86"].concat()), @"its tensor w is broken: its shape [4611686018427387904, 4611686018427387904] with strides [0, 0] has more elements than can be counted; fetch the file again");
    insta::assert_snapshot!(error(b"K\x01", b"K\x00J\xff\xff\xff\xff\x85K\x01\x85"), @"its pickle is broken at byte 132: expected a size that is not negative; fetch the file again, or save it anew with `torch.save(model.state_dict(), FILE)`");
}

/// Python 2 wrote ordered dicts as a call with a list of pairs, and old parameters as their class around a tensor.
#[test]
fn old_ordered_dicts_and_parameters_are_read() {
    let arguments = b"K\x00K\x01\x85K\x01\x85";
    let plain = one_tensor(b"K\x01", arguments);
    let start = plain.windows(6).position(|window| window == b"}X\x01\x00\x00\x00").unwrap();
    let end = plain.windows(4).position(|window| window == b"tRs.").unwrap();
    let inner = &plain[start + 7..end + 2];
    let object = [b"ccollections\nOrderedDict\n(((X\x01\x00\x00\x00wctorch.nn.parameter\nParameter\n(", inner, b"NtRtltR."].concat();
    let file = [&plain[..start], &object, &plain[end + 4..]].concat();
    assert_eq!(read(&file).unwrap(), read(&plain).unwrap());
}

#[test]
fn texts_and_numbers_that_announce_more_than_there_is_are_refused() {
    for opcode in [
        &b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"[..],
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff",
        b"X\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\xff",
    ] {
        assert!(matches!(read(&legacy(opcode)), Err(CheckpointError::Truncated { .. })));
    }
}

#[test]
fn nesting_and_circles_end() {
    // A list in a list in a list; a dict that holds itself; a dict that holds the one before twice, thirty times over.
    let deep = [vec![b'('; 100_000], vec![b'l'; 100_000], vec![b'.']].concat();
    let circle = b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.".to_vec();
    let mut laughs = b"\x80\x02}q\x00".to_vec();
    for level in 0..30u8 {
        laughs.extend([b'}', b'q', level + 1, b'K', 0, b'h', level, b's', b'K', 1, b'h', level, b's']);
    }
    laughs.push(b'.');
    for object in [deep, circle, laughs] {
        assert!(matches!(read(&legacy(&object)), Err(CheckpointError::NoTensors)));
    }
}

/// Cutting the end off an archive may take nothing that is needed; then the tensors must be the same.
#[test]
fn a_cut_file_is_an_error_or_gives_the_same() {
    for file in [ZIP, LEGACY, LEGACY4, DEFLATED, TRAINING] {
        let whole = read(file).unwrap();
        for length in 0..file.len() {
            if let Ok(cut) = read(&file[..length]) {
                assert_eq!(cut, whole);
            }
        }
    }
}

/// Whether what was read is no larger than the file may ask for.
fn is_bounded(read: &Checkpoint, file: &[u8]) -> bool {
    read.tensors.values().map(|tensor| tensor.data.len()).sum::<usize>() <= 2 * file.len() + 4096
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512), start in 0..5usize) {
        let starts = [&b""[..], b"PK\x03\x04", b"\x80\x02", b"\x40\x00\x00\x00\x00\x00\x00\x00{", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."];
        let file = [starts[start], &bytes].concat();
        if let Ok(read) = read(&file) {
            prop_assert!(is_bounded(&read, &file));
        }
    }

    #[test]
    fn mutated_files_never_panic(which in 0..5usize, mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut file = [ZIP, LEGACY, LEGACY4, DEFLATED, TRAINING][which].to_vec();
        for (index, byte) in mutations {
            let index = index.index(file.len());
            file[index] = byte;
        }
        if let Ok(read) = read(&file) {
            prop_assert!(is_bounded(&read, &file));
        }
    }

    #[test]
    fn random_programs_never_panic(ops in proptest::collection::vec(prop::sample::select(OPS), 0..64)) {
        drop(read(&legacy(&[&ops.concat()[..], b"."].concat())));
    }
}

/// Instructions that mean something together more often than random bytes.
const OPS: &[&[u8]] = &[
    b"(",
    b"t",
    b"l",
    b"d",
    b"}",
    b"]",
    b")",
    b"0",
    b"1",
    b"2",
    b"N",
    b"K\x01",
    b"X\x01\x00\x00\x00w",
    b"X\x07\x00\x00\x00storage",
    b"\x85",
    b"\x86",
    b"\x87",
    b"q\x00",
    b"q\x01",
    b"h\x00",
    b"h\x01",
    b"a",
    b"e",
    b"s",
    b"u",
    b"R",
    b"\x81",
    b"b",
    b"Q",
    b"\x94",
    b"o",
    b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n",
    b"ctorch\nSize\n",
];
