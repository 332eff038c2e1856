"""Corpora become partitions and stop being some; their data stays."""

FOLDER = "{sources: [{type: folder, path: docs}]}"


def partitions(desk):
    return sorted(desk.instance.get_dynamic_partitions("corpus"))


def test_corpora_come_and_go_as_partitions(desk):
    desk.configure(f"{{handbook: {FOLDER}, minutes: {FOLDER}}}")
    desk.tick("corpora")
    assert partitions(desk) == ["handbook", "minutes"]
    assert "all of them partitions" in desk.tick("corpora").skip_message

    desk.corpus("minutes").store.create()
    desk.configure(f"{{handbook: {FOLDER}, letters: {FOLDER}}}")
    desk.tick("corpora")
    assert partitions(desk) == ["handbook", "letters"]
    assert (desk.settings.home / "corpora" / "minutes" / "corpus.json").is_file(), "the data is untouched"


def test_a_corpus_with_a_remembered_source_stays(desk):
    store = desk.corpus("default").store
    store.create()
    (store.folder / "target.json").write_text('{"sources": [{"type": "pydoc"}]}')
    desk.tick("corpora")
    desk.configure(f"{{handbook: {FOLDER}}}")
    desk.tick("corpora")
    assert partitions(desk) == ["default", "handbook"]


def test_partitions_of_another_code_location_are_left_alone(desk):
    desk.instance.add_dynamic_partitions("corpus", ["theirs"])
    desk.tick("corpora")
    desk.tick("corpora")
    assert partitions(desk) == ["default", "theirs"]


def test_rag_yaml_is_read_anew_at_each_tick(desk):
    desk.tick("corpora")
    (desk.folder / "rag.yaml").write_text(f"corpora: {{default: {FOLDER}, later: {FOLDER}}}")
    desk.tick("corpora")
    assert partitions(desk) == ["default", "later"]
