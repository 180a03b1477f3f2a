"""From a torch model to a bundle: export to ONNX, preprocessing, the task's head, numeric validation.

`package_prepared` makes a bundle that takes raw rows as they were before `maas_jupyter.data.prepare`. For a module that
was trained elsewhere `package` makes one that takes tensors, `package_text` one that takes raw text, `package_images`
one that takes PNG and JPEG files, `package_table` one that takes the columns of a table::

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = Logits(AutoModelForSequenceClassification.from_pretrained(folder))
    package_text(
        model, texts, tokenizer, Path("bundle"), max_length=256, task="classification", labels=["good", "bad"]
    )
"""

from maas_jupyter.packaging.exported import Exported, check_target, export_bundle, export_module, target_of
from maas_jupyter.packaging.image import package_images
from maas_jupyter.packaging.package import Packaged, package
from maas_jupyter.packaging.prepared import package_prepared
from maas_jupyter.packaging.table import package_table
from maas_jupyter.packaging.text import package_text
from maas_jupyter.packaging.validate import Agreement
from maas_jupyter.pretrained import Logits, MeanPooling

__all__ = [
    "Agreement",
    "Exported",
    "Logits",
    "MeanPooling",
    "Packaged",
    "check_target",
    "export_bundle",
    "export_module",
    "package",
    "package_images",
    "package_prepared",
    "package_table",
    "package_text",
    "target_of",
]
