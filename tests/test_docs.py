"""The documents say what the code does."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell
from tokenizers import Tokenizer, models, pre_tokenizers

from maas_jupyter import api, verbs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def calls():
    """Every ``%maas`` line of the README's code and of the notebooks, and the README's ``maas`` lines."""
    texts = re.findall(r"```python\n(.*?)```", README, re.S)
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text())["cells"]
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    found = re.findall(r"%maas +(\S.*)", "\n".join(texts).replace("\\\n", " "))
    found += re.findall(r"^maas +(\S.*)", "\n".join(re.findall(r"```sh\n(.*?)```", README, re.S)), re.M)
    return sorted(set(found))


def test_the_table_of_the_readme_holds_every_verb():
    table = "\n".join(line for line in README.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", table.partition("| `MAAS_HOME")[0])) >= {verb.__name__ for verb in api.VERBS}


@pytest.mark.parametrize("line", calls())
def test_every_call_that_is_shown_has_a_verb_and_options_that_exist(line):
    words = shlex.split(line)
    verb = next(verb for verb in api.VERBS if verb.__name__ == words[0])
    options = {argument.option for argument in verbs.arguments_of(verb)}
    assert {word for word in words if word.startswith("--")} <= options


def test_the_python_of_the_readme_is_python():
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        ast.parse(TransformerManager().transform_cell(block))


def test_the_example_of_raw_input_runs(own_home, tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "package_text" in block)
    (line,) = re.findall(r"^maas (register .*)", README, re.M)
    monkeypatch.chdir(tmp_path)
    words = sorted({word for text in re.findall(r'"([^"]+)"', block) for word in text.split()})
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(["[PAD]", "[UNK]", *words])}, "[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained("my-model")
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=2,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained("my-model")
    shell = InteractiveShell()
    try:
        InteractiveShell._instance = shell
        shell.run_line_magic("load_ext", "maas_jupyter")
        result = shell.run_cell(block.replace("%maas predict", "answer = %maas predict"))
        assert result.success, result.error_in_exec
        answer = shell.user_ns["answer"]
        assert set(answer.labels) <= {"good", "bad"}
        assert answer.scores.shape == (2, 2)
    finally:
        InteractiveShell.clear_instance()
    assert verbs.run(shlex.split(line), verbs.Session(program="maas")).version == "2"


@pytest.mark.parametrize("words", ["%%maas train", "people = "])
def test_the_examples_of_data_and_of_a_cell_run_as_they_stand(own_home, words):
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.S) if words in block)
    shell = InteractiveShell()
    try:
        InteractiveShell._instance = shell
        shell.run_line_magic("load_ext", "maas_jupyter")
        assert shell.run_cell(block).success
    finally:
        InteractiveShell.clear_instance()


def test_the_commands_of_the_readme_exist():
    commands = re.findall(r"python3 (run\.py \w+)", README)
    assert set(commands) == {"run.py quickstart", "run.py test"}
    shown = subprocess.run([sys.executable, ROOT / "run.py", "--help"], capture_output=True, text=True, check=True)
    for command in commands:
        assert command.split()[1] in shown.stdout


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_and_files_that_are_named_exist(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    for row in re.findall(r"^\| (`.*?`) \|", text, re.M):
        for name in re.findall(r"`(\w+(?:/|\.py))`", row):
            assert (ROOT / "maas_jupyter" / name).exists() or (ROOT / name).exists(), name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_with_its_pictures_and_without_paths_of_a_machine(path):
    text = path.read_text()
    assert "data:image/svg+xml;base64" in text
    assert "data:image/" in text
    assert str(Path.home()) not in text
    assert "/tmp/" not in text
    assert "Traceback" not in text
