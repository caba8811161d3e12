use chrono::TimeDelta;

use super::*;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
}

fn row(n: u128) -> CandidateRow {
    let listed_at = at(i64::try_from(n).expect("a small number"));
    CandidateRow { post_id: id(n), language: "en".into(), series_id: None, group_key: None, points: 0.0, listed_at }
}

fn deed(n: u128, deed: Deed, minute: i64) -> DeedRow {
    DeedRow { post_id: id(n), language: if n < 50 { "en" } else { "zh" }.into(), deed, at: at(minute) }
}

/// Recommends for somebody with these deeds, where each post has these neighbours.
fn recommended(deeds: Vec<DeedRow>, neighbours: &[(u128, &[u128])], rows: Vec<CandidateRow>) -> Vec<Recommendation> {
    let seeds = seeds(deeds);
    let near = |n: &u128| Related { post_id: id(*n), score: 0.0, because: Vec::new() };
    let related = neighbours.iter().map(|(seed, all)| (id(*seed), all.iter().map(near).collect())).collect();
    let near = nearest(&seeds, &related);
    let language = most_read(&seeds).unwrap_or_else(|| "en".into());
    ranked(&Reader { language, seeds, related }, &near, rows)
}

fn order(list: &[Recommendation]) -> Vec<u128> {
    list.iter().map(|it| it.post_id.as_u128()).collect()
}

#[test]
fn what_was_liked_and_what_was_read_last_counts_most() {
    let all = seeds(vec![
        deed(1, Deed::Read, 1),
        deed(2, Deed::Read, 3),
        deed(1, Deed::Liked, 2),
        deed(60, Deed::Commented, 0),
        deed(60, Deed::Read, 0),
    ]);
    let told: Vec<_> = all.iter().map(|seed| (seed.post_id.as_u128(), seed.kind)).collect();
    assert_eq!(told, [(2, ReasonKind::Read), (1, ReasonKind::Liked), (60, ReasonKind::Commented)]);
    assert!(all[1].weight > all[0].weight, "liked counts more than read: {all:?}");
    assert_eq!(most_read(&all).as_deref(), Some("en"));
    let many = (0..40).map(|n| deed(n, Deed::Read, i64::try_from(n).expect("small"))).collect();
    assert_eq!(seeds(many).len(), SEEDS);
}

#[test]
fn what_is_near_comes_first_and_says_because_of_what() {
    let popular = CandidateRow { points: 9.0, ..row(12) };
    let rows = vec![row(10), row(11), popular.clone(), row(13)];
    let list = recommended(vec![deed(1, Deed::Read, 1)], &[(1, &[11, 10])], rows);
    assert_eq!(order(&list), [11, 10, 12, 13]);
    assert_eq!(list[0].because, [Reason { kind: ReasonKind::Read, post_id: Some(id(1)) }]);
    assert_eq!(list[2].because, [Reason { kind: ReasonKind::Popular, post_id: None }]);
    assert_eq!(list[3].because, [Reason { kind: ReasonKind::New, post_id: None }]);
    assert!(list.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");
    assert!(list.iter().all(|it| (0.0..=1.0).contains(&it.score)), "{list:?}");
    let both = recommended(vec![deed(1, Deed::Read, 1)], &[(1, &[12])], vec![popular]);
    let kinds: Vec<_> = both[0].because.iter().map(|reason| reason.kind).collect();
    assert_eq!(kinds, [ReasonKind::Read, ReasonKind::Popular]);
}

#[test]
fn one_post_one_series_and_one_piece_do_not_fill_the_list() {
    let deeds = || vec![deed(1, Deed::Read, 2), deed(2, Deed::Read, 1)];
    let near: &[(u128, &[u128])] = &[(1, &[10, 11, 12]), (2, &[20, 21, 22])];
    let list = recommended(deeds(), near, [10, 11, 12, 20, 21, 22].map(row).into());
    assert_eq!(order(&list)[..4], [10, 20, 11, 21], "the reader's posts take turns");
    let part = |n| CandidateRow { series_id: Some(id(7)), ..row(n) };
    let list = recommended(deeds(), near, vec![part(10), part(11), part(12), row(20)]);
    assert_eq!(order(&list), [10, 20, 11]);
    let piece = |n, language: &str| CandidateRow { group_key: Some("a".into()), language: language.into(), ..row(n) };
    assert_eq!(order(&recommended(Vec::new(), &[], vec![piece(1, "en"), piece(2, "zh")])), [1]);
}

#[test]
fn the_readers_language_comes_first() {
    let chinese = |n| CandidateRow { language: "zh-Hant".into(), ..row(n) };
    let list = recommended(vec![deed(60, Deed::Read, 1)], &[(60, &[])], vec![row(9), chinese(3), chinese(2)]);
    assert_eq!(order(&list), [3, 2, 9]);
    let list = recommended(Vec::new(), &[], vec![chinese(9), row(3), row(2)]);
    assert_eq!(order(&list), [3, 2, 9], "who is not known reads the site's language");
}

#[test]
fn a_list_has_an_end() {
    assert_eq!(recommended(Vec::new(), &[], (1..300).map(row).collect()).len(), MAX_RECOMMENDED);
    assert!(recommended(Vec::new(), &[], Vec::new()).is_empty());
}
