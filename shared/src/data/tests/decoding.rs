use proptest::prelude::*;

use super::*;

/// A training pair of two 1x2 images with labels 3 and 9.
fn idx_pair() -> [(&'static str, Vec<u8>); 2] {
    [("train-images-idx3-ubyte", idx_file(&[2, 1, 2], &[1, 2, 3, 4])), ("train-labels-idx1-ubyte", idx_file(&[2], &[3, 9]))]
}

fn error(format: Format, files: &[(&str, Vec<u8>)]) -> String {
    decode(format, &named(files)).unwrap_err().to_string()
}

#[test]
fn idx_gives_images_and_labels_in_file_order() {
    let archive = decode(Format::Idx, &named(&idx_pair())).unwrap();
    let train = archive.train.unwrap();
    assert!(archive.test.is_none());
    assert_eq!((train.shape, train.classes, train.len()), ([1, 1, 2], 10, 2));
    assert_eq!((train.image(0), train.label(0)), (&[1, 2][..], 3));
    assert_eq!((train.image(1), train.label(1)), (&[3, 4][..], 9));
    assert_eq!(train.hash(1), blake3::hash(&[9, 0, 3, 4]));
}

#[test]
fn gzip_is_known_by_its_bytes_and_not_by_its_name() {
    let [(images, image_bytes), (labels, label_bytes)] = idx_pair();
    let plain = decode(Format::Idx, &named(&idx_pair())).unwrap().train;
    let unnamed = [(images, gzipped(&image_bytes)), (labels, label_bytes.clone())];
    let misnamed = [("train-images.idx3-ubyte.gz", image_bytes), ("folder/train-labels-idx1-ubyte.gz", gzipped(&label_bytes))];
    assert_eq!(decode(Format::Idx, &named(&unnamed)).unwrap().train, plain);
    assert_eq!(decode(Format::Idx, &named(&misnamed)).unwrap().train, plain);
}

#[test]
fn wanted_prefers_plain_files_and_leaves_others_alone() {
    let folder = strings(&["README", "t10k-labels.idx1-ubyte", "train-images-idx3-ubyte.gz", "train-images.idx3-ubyte", "train.bin"]);
    assert_eq!(wanted(Format::Idx, &folder), ["t10k-labels.idx1-ubyte", "train-images.idx3-ubyte"]);
    assert_eq!(wanted(Format::Cifar100, &folder), ["train.bin"]);
    let folder = strings(&["test_batch.bin", "data_batch_2.bin", "batches.meta.txt", "data_batch_1.bin"]);
    assert_eq!(wanted(Format::Cifar10, &folder), ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"]);
    assert!(wanted(Format::Idx, &folder).is_empty());
}

#[test]
fn cifar_10_batches_follow_each_other_in_the_order_of_their_names() {
    let files = [
        ("data_batch_2.bin", record(&[2], 20)),
        ("data_batch_1.bin", [record(&[0], 10), record(&[1], 11)].concat()),
        ("test_batch.bin", record(&[9], 90)),
    ];
    let archive = decode(Format::Cifar10, &named(&files)).unwrap();
    let (train, test) = (archive.train.unwrap(), archive.test.unwrap());
    assert_eq!((train.shape, train.classes), ([3, 32, 32], 10));
    let seen: Vec<_> = (0..train.len()).map(|i| (train.label(i), train.image(i)[3071])).collect();
    assert_eq!(seen, [(0, 10), (1, 11), (2, 20)]);
    assert_eq!((test.len(), test.label(0)), (1, 9));
}

#[test]
fn cifar_100_labels_are_the_fine_ones() {
    let archive = decode(Format::Cifar100, &named(&[("test.bin", record(&[19, 99], 7))])).unwrap();
    let test = archive.test.unwrap();
    assert!(archive.train.is_none());
    assert_eq!((test.classes, test.label(0), test.image(0)), (100, 99, &[7; 3072][..]));
}

#[test]
fn the_mini_cifar_10_of_the_shared_folder_decodes() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/cifar-10-mini");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("passed over: {} is not on this machine", folder.display());
        return;
    };
    let names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let files: Vec<(String, Vec<u8>)> =
        wanted(Format::Cifar10, &names).into_iter().map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap())).collect();
    let files: Vec<NamedFile> = files.iter().map(|(name, bytes)| NamedFile { name, bytes }).collect();
    let archive = decode(Format::Cifar10, &files).unwrap();
    // The counts are those of shared/data/README.md.
    let splits = split(&archive, &Cut { holdout: Amount::Count(500), test: None }).unwrap();
    assert_eq!([splits.train.len(), splits.holdout.len(), splits.test.len()], [4585, 500, 508]);
}

#[test]
fn each_fault_of_an_idx_file_is_named() {
    let [images, labels] = idx_pair();
    let (image_name, label_name) = (images.0, labels.0);
    let with_images = |bytes: Vec<u8>| error(Format::Idx, &[(image_name, bytes), labels.clone()]);
    let with_labels = |bytes: Vec<u8>| error(Format::Idx, &[images.clone(), (label_name, bytes)]);
    let mut damaged = gzipped(&images.1);
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;

    let cases = [
        (error(Format::Idx, &[("README", vec![])]), "no file of format idx was found: expected the pair train-images-idx3-ubyte"),
        (error(Format::Idx, std::slice::from_ref(&images)), "alone: expected train-labels-idx1-ubyte (or train-labels-idx1-ubyte.gz)"),
        (error(Format::Idx, std::slice::from_ref(&labels)), "expected train-images-idx3-ubyte"),
        (with_images(vec![]), "train-images-idx3-ubyte is empty"),
        (with_images(idx_file(&[0, 1, 2], &[])), "train-images-idx3-ubyte is empty"),
        (with_images(images.1[..10].to_vec()), "train-images-idx3-ubyte is cut short: 10 bytes where 16 were expected"),
        (with_images(images.1[..19].to_vec()), "cut short: 19 bytes where 20 were expected"),
        (with_images(gzipped(&images.1[..19])), "cut short: 19 bytes where 20 were expected"),
        (with_images(idx_file(&[2, 1, 2], &[0; 5])), "goes on after the 20 bytes"),
        (with_images(labels.1.clone()), "magic number 0x00000801 where 0x00000803 (unsigned bytes, 3 dimensions)"),
        (with_images(b"<html>not found</html>".to_vec()), "magic number 0x3c68746d"),
        (with_images(idx_file(&[u32::MAX; 3], &[])), "announces more than 2^64 bytes"),
        (with_images(gzipped(&idx_file(&[1 << 20, 1 << 10, 28], &[]))), "announces 30064771072 bytes, expected at most 4294967296"),
        (with_images(damaged), "train-images-idx3-ubyte does not unpack as gzip"),
        (with_images(gzipped(&images.1)[..30].to_vec()), "does not unpack as gzip"),
        (with_labels(idx_file(&[3], &[3, 9, 0])), "holds 2 images and train-labels-idx1-ubyte 3 labels"),
        (with_labels(idx_file(&[2], &[3, 10])), "train-labels-idx1-ubyte gives image 1 the label 10, expected 0 to 9"),
    ];
    for (said, expected) in cases {
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    }
}

#[test]
fn each_fault_of_a_cifar_file_is_named() {
    let ten = |bytes| error(Format::Cifar10, &[("data_batch_1.bin", bytes)]);
    let hundred = |bytes| error(Format::Cifar100, &[("train.bin", bytes)]);
    let cases = [
        (ten(vec![]), "data_batch_1.bin is empty"),
        (ten([record(&[1], 0), vec![0; 9]].concat()), "3082 bytes are no whole number of 3073-byte cifar10 records, expected 6146"),
        (ten([record(&[9], 0), record(&[10], 0)].concat()), "data_batch_1.bin gives image 1 the label 10, expected 0 to 9"),
        (hundred(record(&[20, 0], 0)), "train.bin gives image 0 the coarse label 20, expected 0 to 19"),
        (hundred(record(&[0, 100], 0)), "image 0 the label 100, expected 0 to 99"),
        (error(Format::Cifar100, &[("data_batch_1.bin", vec![])]), "no file of format cifar100"),
    ];
    for (said, expected) in cases {
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    }
}

#[test]
fn training_and_test_images_of_two_shapes_are_no_data_set() {
    let [images, labels] = idx_pair();
    let files =
        [images, labels, ("t10k-images-idx3-ubyte", idx_file(&[1, 2, 2], &[0; 4])), ("t10k-labels-idx1-ubyte", idx_file(&[1], &[0]))];
    assert!(error(Format::Idx, &files).contains("training images have shape [1, 1, 2]"));
}

#[test]
fn formats_are_written_as_yaml_spells_them() {
    for (format, name) in [(Format::Idx, "idx"), (Format::Cifar10, "cifar10"), (Format::Cifar100, "cifar100")] {
        assert_eq!(serde_json::to_value(format).unwrap(), name);
        assert_eq!(format.to_string(), name);
    }
}

/// Bytes that come further than random ones: a right magic number, small sizes, and gzip around it or not.
fn nearly_idx() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![8 => 0u32..4, 1 => any::<u32>()];
    let header = proptest::collection::vec(size, 0..4);
    (header, proptest::collection::vec(any::<u8>(), 0..40), any::<bool>(), any::<(bool, prop::sample::Index, u8)>()).prop_map(
        |(header, body, gz, (flip, at, with))| {
            let mut bytes = idx_file(&header, &body);
            if gz {
                bytes = gzipped(&bytes);
            }
            if flip {
                let at = at.index(bytes.len());
                bytes[at] ^= with;
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        a in prop_oneof![nearly_idx(), proptest::collection::vec(any::<u8>(), 0..64)],
        b in prop_oneof![nearly_idx(), proptest::collection::vec(any::<u8>(), 0..64)],
    ) {
        let _ = decode(Format::Idx, &named(&[("train-images-idx3-ubyte", a.clone()), ("train-labels-idx1-ubyte", b.clone())]));
        let _ = decode(Format::Idx, &named(&[("t10k-labels.idx1-ubyte.gz", a.clone()), ("t10k-images.idx3-ubyte.gz", b.clone())]));
        // Lengths around one and two records are the interesting ones.
        for records in [0, 1, 2] {
            let long = [vec![0; records * 3073], a.clone()].concat();
            let _ = decode(Format::Cifar10, &named(&[("data_batch_1.bin", long.clone()), ("test_batch.bin", b.clone())]));
            let _ = decode(Format::Cifar100, &named(&[("train.bin", long), ("test.bin", b.clone())]));
        }
    }

    #[test]
    fn any_file_names_are_fine(
        names in proptest::collection::vec("\\PC{0,12}|(train|t10k)-images[-.]idx3-ubyte(\\.gz)?|data_batch_.{0,3}\\.bin", 0..8),
    ) {
        for format in [Format::Idx, Format::Cifar10, Format::Cifar100] {
            prop_assert!(wanted(format, &names).iter().all(|name| names.contains(name)));
            prop_assert!(!expected(format).is_empty());
        }
    }
}
