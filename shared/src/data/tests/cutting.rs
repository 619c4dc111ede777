use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// Images of one pixel each; equal pixels are identical images.
fn one_pixel(pixels: &[u8]) -> Arc<Images> {
    Arc::new(Images::new("test", [1, 1, 1], 10, pixels.to_vec(), vec![0; pixels.len()]).unwrap())
}

fn archive(train: &[u8], test: &[u8]) -> Archive {
    let images = |pixels: &[u8]| (!pixels.is_empty()).then(|| one_pixel(pixels));
    Archive { train: images(train), test: images(test) }
}

fn pixels(subset: &Subset) -> Vec<u8> {
    (0..subset.len()).map(|i| subset.image(i)[0]).collect()
}

fn sorted(subset: &Subset) -> Vec<u8> {
    let mut pixels = pixels(subset);
    pixels.sort_unstable();
    pixels
}

fn counts(holdout: usize, test: Option<usize>) -> Cut {
    Cut { holdout: Amount::Count(holdout), test: test.map(Amount::Count) }
}

fn sizes(splits: &Splits) -> [usize; 3] {
    [splits.train.len(), splits.holdout.len(), splits.test.len()]
}

#[test]
fn the_first_hashes_are_test_the_next_holdout_and_the_rest_train_in_file_order() {
    let all: Vec<u8> = (0..10).collect();
    let images = one_pixel(&all);
    let mut by_hash = all.clone();
    by_hash.sort_by_key(|&i| *images.hash(i.into()).as_bytes());

    let splits = split(&archive(&all, &[]), &counts(3, Some(2))).unwrap();
    let set = |part: &[u8]| part.iter().copied().collect::<BTreeSet<u8>>().into_iter().collect::<Vec<u8>>();
    assert_eq!(pixels(&splits.test), set(&by_hash[..2]));
    assert_eq!(pixels(&splits.holdout), set(&by_hash[2..5]));
    assert_eq!(pixels(&splits.train), set(&by_hash[5..]));
}

#[test]
fn official_test_images_are_left_alone() {
    let splits = split(&archive(&[1, 2, 3, 4], &[4, 9]), &counts(1, None)).unwrap();
    assert_eq!(sizes(&splits), [3, 1, 2]);
    assert_eq!(pixels(&splits.test), [4, 9]);
}

#[test]
fn asking_for_test_images_makes_one_pool_of_all_files() {
    // As fashion-mnist-10k does: only the official test images are there, and they are cut in three.
    let only_test = split(&archive(&[], &[1, 2, 3, 4, 5]), &counts(1, Some(2))).unwrap();
    let both = split(&archive(&[1, 2, 3], &[4, 5]), &counts(1, Some(2))).unwrap();
    assert_eq!(sizes(&only_test), [2, 1, 2]);
    assert_eq!(only_test.record(), both.record());
}

#[test]
fn a_folder_needs_only_the_splits_that_are_used() {
    let no_training = split(&archive(&[], &[1, 2]), &counts(1000, None)).unwrap();
    assert_eq!(sizes(&no_training), [0, 0, 2]);
    assert_eq!((no_training.train.shape(), no_training.train.classes()), ([1, 1, 1], 10));
    let no_test = split(&archive(&[1, 2], &[]), &counts(1, None)).unwrap();
    assert_eq!(sizes(&no_test), [1, 1, 0]);
    assert!(no_test.test.is_empty());
}

#[test]
fn fractions_are_of_the_whole_pool() {
    let all: Vec<u8> = (0..20).collect();
    let cut = Cut { holdout: Amount::Fraction(0.25), test: Some(Amount::Fraction(0.5)) };
    assert_eq!(sizes(&split(&archive(&all, &[]), &cut).unwrap()), [5, 5, 10]);
    let everything = Cut { holdout: Amount::Fraction(1.0), test: None };
    assert_eq!(sizes(&split(&archive(&all, &[]), &everything).unwrap()), [0, 20, 0]);
}

#[test]
fn later_images_fill_a_split_that_a_group_of_duplicates_does_not_fit_into() {
    // Five copies of each of 3 images and one single: a holdout of 1 can only be the single, wherever its hash sorts.
    for single in 10..30 {
        let splits = split(&archive(&[1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, single], &[]), &counts(1, None)).unwrap();
        assert_eq!(pixels(&splits.holdout), [single]);
    }
}

#[test]
fn a_size_is_met_even_if_the_first_groups_lead_astray() {
    // Groups of 3, 2 and 2: 4 is 2 + 2, though 3 may come first.
    for shift in 0..50 {
        let [a, b, c] = [shift, shift + 1, shift + 2];
        let splits = split(&archive(&[a, a, a, b, b, c, c], &[]), &counts(4, None)).unwrap();
        assert_eq!(sorted(&splits.holdout), [b, b, c, c]);
    }
}

#[test]
fn what_cannot_be_cut_is_said() {
    let said = |archive: Archive, cut: Cut| split(&archive, &cut).unwrap_err().to_string();
    let fraction = |fraction| Cut { holdout: Amount::Fraction(fraction), test: None };
    let cases = [
        (said(archive(&[], &[]), counts(0, None)), "there are no images"),
        (said(archive(&[1, 2], &[]), counts(3, None)), "holdout asks for 3 images, expected at most the 2 that are left of 2"),
        (said(archive(&[1, 2], &[]), counts(2, Some(1))), "holdout asks for 2 images, expected at most the 1 that are left of 2"),
        (said(archive(&[1, 2], &[]), counts(0, Some(usize::MAX))), "test asks for"),
        (said(archive(&[1, 2], &[]), fraction(-0.1)), "holdout asks for the fraction -0.1"),
        (said(archive(&[1, 2], &[]), fraction(1.5)), "fraction 1.5"),
        (said(archive(&[1, 2], &[]), fraction(f64::NAN)), "fraction NaN"),
        (said(archive(&[1, 1, 1, 2, 2], &[]), counts(4, None)), "holdout cannot have exactly 4 images"),
        (said(archive(&[1, 1, 1, 2, 2], &[]), counts(4, None)), "expected 3"),
    ];
    for (said, expected) in cases {
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    }
}

#[test]
fn a_label_is_part_of_the_content() {
    let images = Images::new("test", [1, 1, 1], 2, vec![7, 7], vec![0, 1]).unwrap();
    assert_ne!(images.hash(0), images.hash(1));
}

#[test]
fn amounts_and_records_read_as_written() {
    let cut: Cut = serde_json::from_str(r#"{"holdout": 1000, "test": 0.1}"#).unwrap();
    assert_eq!(cut, Cut { holdout: Amount::Count(1000), test: Some(Amount::Fraction(0.1)) });
    assert_eq!(serde_json::to_string(&counts(5, None)).unwrap(), r#"{"holdout":5}"#);
    let splits = split(&archive(&[1, 2], &[3]), &counts(1, None)).unwrap();
    let record: SplitHashes = serde_json::from_value(serde_json::to_value(splits.record()).unwrap()).unwrap();
    assert_eq!(record, splits.record());
    for name in [SplitName::Train, SplitName::Holdout, SplitName::Test] {
        assert_eq!(serde_json::to_value(name).unwrap(), name.to_string());
        assert_eq!(splits.get(name).len(), 1);
    }
}

/// Pixels with many duplicates, the same shuffled, and sizes of test and holdout that they have.
fn pools() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, usize, usize)> {
    proptest::collection::vec(prop_oneof![0u8..6, any::<u8>()], 1..60).prop_flat_map(|pool| {
        let size = pool.len();
        let sizes = (0..=size).prop_flat_map(move |test| (Just(test), 0..=size - test));
        (Just(pool.clone()), Just(pool).prop_shuffle(), sizes).prop_map(|(pool, shuffled, (test, holdout))| (pool, shuffled, test, holdout))
    })
}

/// Whether some groups of identical images number `target` together, by trying sums one group after the other.
fn can_add_up(pool: &[u8], target: usize) -> bool {
    let mut sums = BTreeSet::from([0]);
    for pixel in 0..=u8::MAX {
        let size = pool.iter().filter(|&&p| p == pixel).count();
        sums = sums.iter().flat_map(|sum| [*sum, sum + size]).collect();
    }
    sums.contains(&target)
}

proptest! {
    #[test]
    fn splits_are_disjoint_exhaustive_and_as_large_as_asked((pool, shuffled, test, holdout) in pools()) {
        let cut = counts(holdout, Some(test));
        let Ok(splits) = split(&archive(&pool, &[]), &cut) else {
            // Only duplicates may stand in the way, in any order of the images.
            prop_assert!(pool.iter().collect::<BTreeSet<_>>().len() < pool.len());
            prop_assert!(split(&archive(&shuffled, &[]), &cut).is_err());
            return Ok(());
        };
        prop_assert_eq!(sizes(&splits), [pool.len() - test - holdout, holdout, test]);

        let mut all = [pixels(&splits.train), pixels(&splits.holdout), pixels(&splits.test)].concat();
        all.sort_unstable();
        let mut whole = pool.clone();
        whole.sort_unstable();
        prop_assert_eq!(all, whole, "every image is in exactly one split");

        let kinds = |subset| pixels(subset).into_iter().collect::<BTreeSet<u8>>();
        prop_assert!(kinds(&splits.train).is_disjoint(&kinds(&splits.holdout)));
        prop_assert!(kinds(&splits.train).is_disjoint(&kinds(&splits.test)));
        prop_assert!(kinds(&splits.holdout).is_disjoint(&kinds(&splits.test)));

        let other = split(&archive(&shuffled, &[]), &cut).unwrap();
        prop_assert_eq!(splits.record(), other.record());
        prop_assert_eq!(sorted(&splits.train), sorted(&other.train));
    }

    #[test]
    fn a_holdout_is_refused_only_if_no_groups_add_up_to_it((pool, _, _, holdout) in pools()) {
        prop_assert_eq!(split(&archive(&pool, &[]), &counts(holdout, None)).is_ok(), can_add_up(&pool, holdout));
    }
}
