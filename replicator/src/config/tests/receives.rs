//! `[[receive]]`: what it means, and what is wrong with it.

use super::good;
use super::name;
use super::ours;
use super::theirs;

const DAY: u64 = 86_400;

#[test]
fn without_a_word_a_receive_that_broke_off_lies_for_a_week() {
    let text = "[[receive]]\nroot = 'back/alice'\n\n[[receive]]\nroot = ['back/bob', 'vault']\npartial_for = '36h'\n\n\
                [[receive]]\nroot = 'back/carol'\npartial_for = '0'\n";
    let config = good(ours(text));
    let all: Vec<_> = config.receives.iter().map(|one| (one.roots.clone(), one.partial_for)).collect();
    assert_eq!(
        all,
        [
            (vec![name("back/alice")], Some(7 * DAY)),
            (vec![name("back/bob"), name("vault")], Some(36 * 3600)),
            (vec![name("back/carol")], None),
        ]
    );
    let json = config.receives[1].to_json();
    assert_eq!(json["roots"][1], "vault");
    assert_eq!(json["partial_for_seconds"], 36 * 3600);
    // A configuration without it clears nothing, whatever it says about datasets and jobs.
    let other = "[[dataset]]\nname = 'back'\nrecursive = true\nsnapshot = false\ndaily = 30\n";
    assert!(good(ours(other)).receives.is_empty());
    assert!(good(theirs("[back]\nuse_template = x\n[template_x]\ndaily = 1\n")).receives.is_empty());
}

#[test]
fn what_is_wrong_is_told_with_line_and_fix() {
    let pair = "[pair.nfs]\nroots = ['back/a/b']\npeer = { node = 'b' }\nproxmox = { guest = 103 }\n";
    for (text, line, message, fix) in [
        ("[[receive]]\npartial_for = '7d'\n", 1, "nothing is named", "root ="),
        ("[[receive]]\nroot = []\n", 2, "`root` is empty", "name something"),
        ("[[receive]]\nroot = '/back/a'\n", 2, "not the name of a dataset", "not the path"),
        ("[[receive]]\nroot = 'back/a'\npartial_for = '5m'\n", 3, "shorter than an hour", "for ever"),
        ("[[receive]]\nroot = 'back/a'\npartial_for = 7\n", 3, "no unit", "7m"),
        ("[[receive]]\nroots = 'back/a'\n", 2, "unknown key `roots`", "root"),
        ("[receive]\nroot = 'back/a'\n", 1, "must be a list of tables", "[[receive]]"),
        ("[[receive]]\nroot = ['back/a', 'back/a/b']\n", 1, "meets the root back/a", "in one [[receive]]"),
        (
            "[[receive]]\nroot = 'back'\n[[receive]]\nroot = 'back/a'\n",
            3,
            "meets the root back of [[receive]]",
            "in one [[receive]]",
        ),
    ] {
        let (_, problems) = ours(text);
        let told = problems.iter().any(|problem| {
            problem.place.as_ref().is_some_and(|place| place.line == line)
                && problem.message.contains(message)
                && problem.fix.contains(fix)
        });
        assert!(told, "{text}\nshould say {message:?} in line {line}, and {fix:?}:\n{}", problems.render());
    }
    let (_, problems) = ours(&format!("{pair}[[receive]]\nroot = 'back/a'\n"));
    let said = problems.render();
    assert!(said.contains("the root back/a meets a root of the pair `nfs`"), "{said}");
}
