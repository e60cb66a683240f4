//! The table in `table.txt`, which was written from the text before there was any code.

use std::collections::BTreeMap;

use matrix_knock::event::Membership;
use matrix_knock::visibility::HistoryVisibility;

const TABLE: &str = include_str!("table.txt");

/// All that a decision is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) visibility: HistoryVisibility,
    pub(crate) visibility_after: Option<HistoryVisibility>,
    pub(crate) membership: Membership,
    pub(crate) membership_after: Option<Membership>,
    pub(crate) joined_later: bool,
}

/// The whole product: 4 x 5 visibilities, 5 x 6 memberships, joined later or not.
pub(crate) fn cells() -> Vec<Cell> {
    let visibilities_after = || [None].into_iter().chain(HistoryVisibility::ALL.map(Some));
    let memberships_after = || [None].into_iter().chain(Membership::ALL.map(Some));
    let mut cells = Vec::new();
    for visibility in HistoryVisibility::ALL {
        for visibility_after in visibilities_after() {
            for membership in Membership::ALL {
                for membership_after in memberships_after() {
                    for joined_later in [false, true] {
                        cells.push(Cell { visibility, visibility_after, membership, membership_after, joined_later });
                    }
                }
            }
        }
    }
    cells
}

/// The rules of a cell: not joined later, joined later.
type Rules = [u8; 2];

/// The three parts, each keyed by what stands left of a cell and above it.
pub(crate) struct Table(BTreeMap<String, BTreeMap<String, Rules>>);

impl Table {
    pub(crate) fn read() -> Self {
        let mut parts: BTreeMap<String, BTreeMap<String, Rules>> = BTreeMap::new();
        let (mut part, mut head) = (String::new(), Vec::new());
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[') {
                part = name.trim_end_matches(']').to_owned();
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            if line.starts_with(' ') {
                head = words;
                continue;
            }
            let (names, rules) = words.split_at(words.len().checked_sub(head.len()).expect("a row"));
            for (above, rules) in head.iter().zip(rules) {
                let digits: Vec<u8> = rules.bytes().map(|digit| digit.checked_sub(b'0').expect("a digit")).collect();
                let place = format!("{} / {above}", names.join(" "));
                let rules = digits.try_into().expect("two digits");
                assert_eq!(parts.entry(part.clone()).or_default().insert(place, rules), None);
            }
        }
        let sizes: Vec<_> = parts.iter().map(|(name, part)| (name.as_str(), part.len())).collect();
        assert_eq!(sizes, [("event", 20), ("member event", 100), ("visibility event", 80)]);
        Self(parts)
    }

    /// The number of the rule that decides.
    ///
    /// An event that changes both is none that there is. For it the text is taken at its word: the
    /// visibility before or after, by the membership before or after.
    pub(crate) fn rule(&self, cell: Cell) -> u8 {
        let Cell { visibility, visibility_after, membership, membership_after, joined_later } = cell;
        let rules = match (visibility_after, membership_after) {
            (None, None) => self.0["event"][&format!("{visibility} / {membership}")],
            (Some(after), None) => self.0["visibility event"][&format!("{visibility} {after} / {membership}")],
            (None, Some(after)) => self.0["member event"][&format!("{membership} {after} / {visibility}")],
            (Some(visibility_after), Some(_)) => {
                let sides = [visibility, visibility_after];
                let of_side = |visibility| self.rule(Cell { visibility, visibility_after: None, ..cell });
                return sides.map(of_side).into_iter().min().expect("two sides");
            }
        };
        rules[usize::from(joined_later)]
    }
}
