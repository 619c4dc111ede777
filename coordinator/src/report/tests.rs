//! What people read is pinned as it looks; what programs read, by its keys.

use super::sample::sample;
use super::*;

fn only_sensitivity() -> Summary {
    Summary {
        sensitivity: sample().sensitivity,
        dense: sample().dense,
        experiment: "scan".into(),
        id: "scan-1".into(),
        state: "finished".into(),
        ..Summary::default()
    }
}

fn round() -> Round {
    sample().rounds[2].clone()
}

mod tables {
    use super::*;

    #[test]
    fn a_finished_experiment() {
        insta::assert_snapshot!(summary_table(&sample()), @"
        fashion-vgg (fashion-vgg-7f3a91): finished

        ┌──────────────┬────────────────────┬─────────────────┬──────────────────────┬───────────────┬───────────────┐
        │              ┆ accuracy (holdout) ┆ accuracy (test) ┆           latency ms ┆          MACs ┆    parameters │
        ╞══════════════╪════════════════════╪═════════════════╪══════════════════════╪═══════════════╪═══════════════╡
        │ dense        ┆            91.20 % ┆         90.87 % ┆        0.687 ± 0.004 ┆        5.21 M ┆        72.8 k │
        │ after search ┆    89.40 % (-1.80) ┆               - ┆ 0.398 ± 0.003 (58 %) ┆ 2.40 M (46 %) ┆ 19.5 k (27 %) │
        │ final        ┆    90.70 % (-0.50) ┆ 90.31 % (-0.56) ┆ 0.398 ± 0.003 (58 %) ┆ 2.40 M (46 %) ┆ 19.5 k (27 %) │
        └──────────────┴────────────────────┴─────────────────┴──────────────────────┴───────────────┴───────────────┘

        ┌────────────┬────────┬───────┬───────┐
        │ layer      ┆ before ┆ after ┆  kept │
        ╞════════════╪════════╪═══════╪═══════╡
        │ conv1      ┆     16 ┆    12 ┆  75 % │
        │ conv2      ┆     16 ┆    12 ┆  75 % │
        │ conv3      ┆     32 ┆    20 ┆  62 % │
        │ conv4      ┆     32 ┆    16 ┆  50 % │
        │ conv5      ┆     64 ┆    28 ┆  44 % │
        │ conv6      ┆     64 ┆    20 ┆  31 % │
        │ classifier ┆     10 ┆    10 ┆ 100 % │
        └────────────┴────────┴───────┴───────┘

        Budget met: latency on local at most 0.412 ms. Measured 0.398 ms, predicted 0.405 ms (-1.7 %).
        Tasks: 83 run, 12 reused. 241 s.
        ");
    }

    #[test]
    fn a_sensitivity_scan_has_no_search_to_tell_of() {
        insta::assert_snapshot!(summary_table(&only_sensitivity()), @"
        scan (scan-1): finished

        ┌───────┬────────────────────┬─────────────────┬───────────────┬────────┬────────────┐
        │       ┆ accuracy (holdout) ┆ accuracy (test) ┆    latency ms ┆   MACs ┆ parameters │
        ╞═══════╪════════════════════╪═════════════════╪═══════════════╪════════╪════════════╡
        │ dense ┆            91.20 % ┆         90.87 % ┆ 0.687 ± 0.004 ┆ 5.21 M ┆     72.8 k │
        └───────┴────────────────────┴─────────────────┴───────────────┴────────┴────────────┘

        Tasks: 0 run, 0 reused. 0 s.
        ");
    }

    #[test]
    fn a_failed_experiment_says_why_and_shows_what_there_is() {
        let failed = Summary {
            state: "failed".into(),
            error: Some("a worker ran out of memory".into()),
            searched: None,
            final_: None,
            layers: Vec::new(),
            seconds: 3721.0,
            ..sample()
        };
        insta::assert_snapshot!(summary_table(&failed), @"
        fashion-vgg (fashion-vgg-7f3a91): failed
        Error: a worker ran out of memory

        ┌──────────┬────────────────────┬─────────────────┬───────────────┬───────────────┬───────────────┐
        │          ┆ accuracy (holdout) ┆ accuracy (test) ┆    latency ms ┆          MACs ┆    parameters │
        ╞══════════╪════════════════════╪═════════════════╪═══════════════╪═══════════════╪═══════════════╡
        │ dense    ┆            91.20 % ┆         90.87 % ┆ 0.687 ± 0.004 ┆        5.21 M ┆        72.8 k │
        │ round 14 ┆    89.10 % (-2.10) ┆               - ┆  0.410 (60 %) ┆ 2.40 M (46 %) ┆ 19.5 k (27 %) │
        └──────────┴────────────────────┴─────────────────┴───────────────┴───────────────┴───────────────┘

        Budget: latency on local at most 0.412 ms. After round 14: 0.410 ms.
        Tasks: 83 run, 12 reused. 1 h 02 min.
        ");
    }

    #[test]
    fn a_queued_experiment_has_nothing_to_show_yet() {
        let queued = Summary { experiment: "next".into(), id: "next-1".into(), state: "queued".into(), ..Summary::default() };
        insta::assert_snapshot!(summary_table(&queued), @"
        next (next-1): queued

        Tasks: 0 run, 0 reused. 0 s.
        ");
    }

    #[test]
    fn a_missed_budget_and_one_on_macs() {
        let mut summary = sample();
        summary.final_.as_mut().unwrap().latency_ms = Some(0.43);
        insta::assert_snapshot!(table::budget_line(&summary).unwrap(), @"Budget not met: latency on local at most 0.412 ms. Measured 0.430 ms, predicted 0.405 ms (+6.2 %).");
        summary.budget = Some(Budget { resource: "macs".into(), device: None, target: 2.6e6, unit: "MACs".into() });
        insta::assert_snapshot!(table::budget_line(&summary).unwrap(), @"Budget met: at most 2.60 M MACs. Reached 2.40 M MACs.");
    }

    #[test]
    fn a_round_is_one_line() {
        insta::assert_snapshot!(round_line(&round(), 0.687), @"round   3  conv3        ->   28 channels   0.627 ms   91 % of dense  measured 0.616 ms  accuracy 91.12 %  best of 6");
    }

    #[test]
    fn a_round_on_macs_knows_its_unit() {
        let round =
            Round { predicted_ms: None, measured_ms: None, resource: 4_612_020.0, macs: 4_612_020, candidates: Vec::new(), ..round() };
        insta::assert_snapshot!(round_line(&round, 5_214_720.0), @"round   3  conv3        ->   28 channels  4.61 M MACs   88 % of dense  accuracy 91.12 %");
    }

    #[test]
    fn numbers_change_prefix_where_they_would_need_a_fourth_digit() {
        let numbers = [0.0, 999.0, 999.6, 9_994.0, 9_996.0, 99_960.0, 999_600.0, 5_214_720.0, 1.2e12, f64::NAN];
        insta::assert_snapshot!(numbers.map(format::count).join(", "), @"0, 999, 1.00 k, 9.99 k, 10.0 k, 100 k, 1.00 M, 5.21 M, 1200 G, -");
    }
}

mod programs {
    use super::*;
    use std::fs;

    #[test]
    fn json_has_every_key_even_of_an_empty_summary() {
        let json = serde_json::to_value(Summary::default()).unwrap();
        insta::assert_json_snapshot!(json, @r#"
        {
          "budget": null,
          "dense": null,
          "error": null,
          "experiment": "",
          "final": null,
          "id": "",
          "layers": [],
          "rounds": [],
          "searched": null,
          "seconds": 0.0,
          "sensitivity": [],
          "splits": {},
          "state": "",
          "tasks": {
            "reused": 0,
            "run": 0
          },
          "version": 1
        }
        "#);
    }

    #[test]
    fn json_comes_back_as_it_went() {
        let json = serde_json::to_string(&sample()).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), sample());
        assert!(json.contains(r#""final":{"accuracy_holdout":0.907"#));
    }

    #[test]
    fn a_loss_that_is_not_a_number_comes_back_too() {
        let mut summary = only_sensitivity();
        summary.sensitivity[3].loss = f64::NAN;
        let back: Summary = serde_json::from_str(&serde_json::to_string(&summary).unwrap()).unwrap();
        assert!(back.sensitivity[3].loss.is_nan());
    }

    #[test]
    fn the_folder_holds_all_files_and_no_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep/report");
        let mut summary = sample();
        summary.rounds.truncate(1);
        summary.rounds[0].group = "block,\"1\"".into();
        summary.rounds[0].measured_ms = None;
        summary.sensitivity.truncate(2);
        write(&folder, &summary, "name: x\n", Some(b"weights")).unwrap();
        // Again, as a running experiment does: without a model the old one stays.
        write(&folder, &summary, "name: x\n", None).unwrap();

        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["history.csv", "index.html", "model.safetensors", "sensitivity.csv", "summary.json"]);
        assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), b"weights");
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&read("summary.json")).unwrap(), summary);
        insta::assert_snapshot!(read("history.csv"), @r#"
        round,target,resource,accuracy,group,channels,predicted_ms,measured_ms,macs,params
        1,0.6689,0.6669,0.9119,"block,""1""",12,0.6669,,5013820,69004
        "#);
        insta::assert_snapshot!(read("sensitivity.csv"), @"
        group,ratio,accuracy,loss
        conv1,0,0.912,0.25
        conv1,0.1,0.8584,0.4109
        ");
    }

    #[test]
    fn a_file_in_the_way_of_the_folder_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(write(file.path(), &sample(), "", None).is_err());
    }
}

mod page {
    use super::*;

    const EVIL: &str = "<script>alert(\"1\")</script>&'";

    #[test]
    fn names_are_text_wherever_they_come_from() {
        let mut summary = sample();
        summary.experiment = EVIL.into();
        summary.id = EVIL.into();
        summary.state = EVIL.into();
        summary.error = Some(EVIL.into());
        let budget = summary.budget.as_mut().unwrap();
        (budget.device, budget.unit) = (Some(EVIL.into()), EVIL.into());
        summary.rounds.iter_mut().for_each(|round| round.group = EVIL.into());
        summary.rounds.iter_mut().flat_map(|round| &mut round.candidates).for_each(|candidate| candidate.group = EVIL.into());
        summary.sensitivity.iter_mut().for_each(|point| point.group = EVIL.into());
        summary.layers.iter_mut().for_each(|layer| layer.layer = EVIL.into());
        summary.splits = [(EVIL.into(), SplitRecord { images: 1, hash: EVIL.into() })].into();
        for resource in ["latency", "macs", EVIL] {
            summary.budget.as_mut().unwrap().resource = resource.into();
            let page = html(&summary, EVIL);
            assert!(!page.contains("<script"), "a tag got through with {resource}");
            assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;"));
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = html(&sample(), "name: fashion-vgg\n").replace("http://www.w3.org/2000/svg", "");
        for needle in ["http://", "https://", "url(", "@import", "src=", "href="] {
            assert!(!page.contains(needle), "{needle}");
        }
    }

    #[test]
    fn all_parts_are_there() {
        let page = html(&sample(), "name: fashion-vgg # the document\n");
        for part in ["Result", "Search", "Widths", "Rounds", "Sensitivity", "Data", "Document"] {
            assert!(page.contains(&format!("<h2>{part}</h2>")), "{part}");
        }
        assert!(page.contains("<summary>Candidates (84)</summary>") && page.contains("<summary>Sensitivity in numbers (60)</summary>"));
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("name: fashion-vgg # the document"));
        assert!(page.contains("Budget met: latency on local at most 0.412 ms."));
        assert!(page.contains(&sample().splits["holdout"].hash));
    }

    #[test]
    fn an_empty_summary_has_a_page_without_pictures() {
        let page = html(&Summary::default(), "");
        assert!(!page.contains("<svg") && page.ends_with("</html>\n"));
    }
}

mod pictures {
    use super::*;

    /// Accuracies, resources and ratios as a broken run may leave them.
    const ODD: [f64; 9] = [0.0, 1.0, 0.5, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 1e-300];

    fn point(group: &str, ratio: f64, accuracy: f64) -> SensitivityPoint {
        SensitivityPoint { group: group.into(), ratio, accuracy, loss: f64::NAN }
    }

    #[test]
    fn of_nothing_there_are_none() {
        let empty = Summary::default();
        assert_eq!([plots::sensitivity(&empty), plots::rounds(&empty), plots::widths(&empty)], [None, None, None]);
        let hopeless = Summary { sensitivity: vec![point("a", 0.1, f64::NAN)], ..Summary::default() };
        assert_eq!(plots::sensitivity(&hopeless), None);
    }

    #[test]
    fn odd_values_are_left_out_and_never_panic() {
        for (x, y) in ODD.iter().flat_map(|&x| ODD.map(|y| (x, y))) {
            for twice in [false, true] {
                let round = Round { resource: x, accuracy: y, measured_ms: twice.then_some(x), ..Round::default() };
                let summary = Summary {
                    sensitivity: vec![point("a", x, y); 1 + usize::from(twice)],
                    rounds: vec![round; 1 + usize::from(twice)],
                    budget: twice.then(|| Budget { resource: "latency".into(), target: y, ..Budget::default() }),
                    dense: Some(Figures { accuracy_holdout: Some(x), latency_ms: Some(y), ..Figures::default() }),
                    ..Summary::default()
                };
                let pictures = [plots::sensitivity(&summary), plots::rounds(&summary)];
                for picture in pictures.iter().flatten() {
                    assert!(!picture.contains("NaN") && !picture.contains("inf"));
                }
                if (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y) {
                    assert!(pictures.iter().all(Option::is_some), "one point ({x}, {y}) is a picture");
                }
            }
        }
    }

    #[test]
    fn sixty_groups_have_sixty_names_and_looks() {
        let mut summary = Summary::default();
        for group in 0..60 {
            summary
                .sensitivity
                .extend([0.0, 0.5].map(|ratio| point(&format!("layer{group}.conv"), ratio, 0.9 - ratio * f64::from(group) / 100.0)));
        }
        let picture = plots::sensitivity(&summary).unwrap();
        assert!((0..60).all(|group| picture.contains(&format!("layer{group}.conv"))));
    }

    #[test]
    fn names_are_escaped_cut_and_cleaned() {
        let layer = format!("<b>&\"\u{0}{}", "long".repeat(40));
        let summary = Summary { layers: vec![LayerWidth { layer, before: 0, after: 0 }], ..Summary::default() };
        let picture = plots::widths(&summary).unwrap();
        assert!(picture.contains("&lt;b&gt;&amp;&quot;\u{fffd}longlong") && !picture.contains('\0'));
        assert!(picture.contains('…'));
    }

    #[test]
    fn the_budget_and_the_ends_of_the_way_are_marked() {
        let picture = plots::rounds(&sample()).unwrap();
        for label in ["budget 0.412 ms", "dense", "final", "latency on local, ms"] {
            assert!(picture.contains(label), "{label}");
        }
    }
}
