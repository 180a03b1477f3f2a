import pytest
import torch
from small_models import language_model, tokenizer

from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.language import LoraOptions, add_lora, merged
from maas_jupyter.pretrained import CausalLogits, is_language_model, is_pretrained, load_pretrained, load_tokenizer


def test_options_are_read_from_a_word():
    assert LoraOptions.parse("r=4,alpha=32,dropout=0.1") == LoraOptions(4, 32, 0.1)
    assert LoraOptions.parse("on") == LoraOptions()
    for word in ("rank=4", "r=x", "r=0", "dropout=1"):
        with pytest.raises(UsageError):
            LoraOptions.parse(word)


def test_only_adapters_are_trained_and_merging_keeps_the_numbers():
    model = add_lora(language_model(), LoraOptions(r=4, alpha=8))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    assert is_language_model(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    ids = torch.randint(5, 500, (2, 9))
    mask = torch.ones_like(ids)
    before = CausalLogits(model.eval())(ids, mask)
    whole = merged(model)
    assert is_language_model(whole) and not any("lora" in name for name, _ in whole.named_parameters())
    assert torch.allclose(CausalLogits(whole)(ids, mask), before, atol=1e-4)


def test_a_folder_is_loaded_as_what_its_config_says(tmp_path):
    language_model().save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    model = load_pretrained(tmp_path)
    assert is_language_model(model)
    assert load_tokenizer(model).decode(tokenizer()("a list")["input_ids"]) == "a list"
    classifier = load_pretrained(tmp_path, outputs=3)
    assert is_pretrained(classifier) and not is_language_model(classifier)
    assert classifier.config.num_labels == 3


def test_what_is_no_model_is_refused_in_words(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        load_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match="which tokenizer"):
        load_tokenizer(language_model())
    assert not is_pretrained(torch.nn.Linear(1, 1))
