"""The structure of .tflite files."""

import subprocess
import sys

from edgepose.models import catalog, flatbuffer

READ = """
import sys
from edgepose.models import catalog, info
info.read(catalog.choose("posenet").path.read_bytes(), "posenet")
print(sum(name.startswith("tflite.") for name in sys.modules))
"""


def test_it_reads_what_a_file_begins_with() -> None:
    """The root table contains the schema version."""
    content = catalog.choose("movenet-lightning").path.read_bytes()

    assert flatbuffer.root(content).Version() == 3


def test_types_have_numpys_names() -> None:
    """The types of image networks have numpy's names."""
    assert {"float32", "uint8", "int8", "int32"} <= set(flatbuffer.dtypes().values())


def test_reading_a_model_loads_only_what_it_needs() -> None:
    """Few of the schema's many modules are imported, to save memory."""
    ran = subprocess.run([sys.executable, "-c", READ], capture_output=True, check=True, text=True)

    assert 0 < int(ran.stdout) < 20
