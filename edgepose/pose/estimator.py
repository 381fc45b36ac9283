"""`PoseEstimator`: estimates poses in images.

Used by the daemon, every command and `import edgepose`. `estimate` calls `prepare`,
`infer` and `decode`, twice for policies that refine. The daemon calls the three on
different threads, once per frame.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from edgepose.geometry import Letterbox, box_around
from edgepose.models import catalog, reshape
from edgepose.models.info import ModelInfo, Outputs
from edgepose.pose import decoders, delegates, policies
from edgepose.pose.decoders import Limits
from edgepose.pose.delegates import Plugin
from edgepose.pose.interpreter import TfliteInterpreter
from edgepose.pose.interpreter_pool import AnyInterpreter, InterpreterPool
from edgepose.pose.policies import Crop, CropResult, PolicyName, Refine, Whole
from edgepose.pose.preprocess import Preprocessor
from edgepose.pose.shaped import ShapedInterpreter, affordable, machine_memory
from edgepose.timing import Durations, median_ms
from edgepose.types import Image, ModelPose, Picture, Pose, Size

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

log: Final = logging.getLogger(__name__)

CANDIDATES: Final = 2  # candidates per requested person; refinement re-scores them
CANDIDATE_SCORE: Final = 0.05  # minimum score of a candidate, on the detector's own scale
TIMED_RUNS: Final = 3


@dataclass(slots=True, eq=False)
class ModelInput:
    """A crop as the input of one network."""

    crop: Crop
    tensor: NDArray[Any] | None
    """(1, height, width, 3) in the type of the network's input; None after `take`."""

    letterbox: Letterbox
    """Mapping between the tensor and the frame."""

    def take(self) -> NDArray[Any]:
        """Return the tensor and drop the reference, since it is large and used once."""
        tensor, self.tensor = self.tensor, None
        assert tensor is not None, "model inputs are for one inference"
        return tensor


@dataclass(frozen=True, slots=True, eq=False)
class ModelInputs:
    """All inputs of the networks for one frame."""

    crops: tuple[ModelInput, ...]


class Network:
    """One loaded model: interpreter, decoder and preprocessor."""

    def __init__(
        self,
        choice: catalog.Choice,
        threads: int,
        plugin: Plugin | None = None,
        *,
        interpreters: int = 1,
        shaped: bool = False,
    ) -> None:
        read = catalog.read_file(choice.path)
        content, info, self.decoder = decoders.load(read, choice.name)
        as_it_is = choice.path if content is read else content
        if plugin is not None and not plugin.helps(info):
            plugin = None
        count = interpreters if plugin is None else 1

        def load(source: bytes | Path, size: Size | None) -> AnyInterpreter:
            engines = [
                TfliteInterpreter(source, info, threads=threads, size=size, plugin=plugin)
                for _ in range(count)
            ]
            return engines[0] if count == 1 else InterpreterPool(engines)

        known = catalog.min_pose_score(choice.name)
        self.min_pose_score = self.decoder.min_pose_score if known is None else known
        """Minimum score of a person, on the model's own scale."""

        self.engine: AnyInterpreter = load(as_it_is, choice.size)
        self.shapes: tuple[Size, ...] = (self.engine.info.input_size,)
        """Available input sizes, the file's own first."""

        if shaped and content is read and plugin is None and info.input_size == self.shapes[0]:
            sizes = reshape.shapes(content, info.input_size)
            self.shapes = affordable(sizes, count * len(content), machine_memory())
            if len(self.shapes) > 1:
                self.engine = ShapedInterpreter(self.engine, choice.path, self.shapes, load)
        self.preprocessor = Preprocessor(
            self.engine.info.inputs[0],
            scale=self.decoder.pixels.scale,
            shift=self.decoder.pixels.shift,
        )

    @property
    def size(self) -> Size:
        """Width and height of the input."""
        return self.engine.info.input_size

    def prepare(self, image: Picture, crop: Crop) -> ModelInput:
        """Return a crop of an image as a model input."""
        size = crop.size or self.size
        letterbox = Letterbox.fit(crop.region, size, angle_deg=crop.angle_deg)
        return ModelInput(crop, self.preprocessor.prepare(image, letterbox), letterbox)


class Estimator(Protocol):
    """Interface that a pipeline needs: a `PoseEstimator` or a wrapper of one."""

    @property
    def uses_tracks(self) -> bool:
        """Whether `prepare` uses tracks; if not, only places of fallen people and candidates."""

    def prepare(self, image: Picture, people: Sequence[Pose] = (), turn: int = 0) -> Any:
        """Return the model inputs of an image. Thread-safe."""

    def infer(self, inputs: Any) -> Any:
        """Run the networks on the result of `prepare`."""

    def decode(self, inputs: Any, outputs: Any, *, limits: Limits | None = None) -> list[Pose]:
        """Decode the result of `infer` to poses. Thread-safe."""


class PoseEstimator:
    """Estimates the poses of people in images.

    Parameters
    ----------
    model : str or Path
        A catalogue name, ``"auto"`` or the path of a .tflite file. A suffix
        ``@HEIGHTxWIDTH`` sets the input size of models that take any size. Two models
        joined by ``+``: the first detects people, the second refines each of them.
    policy : str
        Crops of a frame to infer: ``"whole"``, ``"follow"``, ``"refine"``, or ``"auto"``
        for the policy that suits the model.
    threads : int
        Threads of one inference; 0 for all cores but one.
    interpreters : int
        Maximum number of concurrent inferences. Always one with a delegate.
    limits : Limits
        Default limits on the number of people and their scores.
    delegate : str or Plugin
        Delegate for the networks with operators for it: ``"cpu"``, ``"edgetpu"``, one of
        several such as ``"edgetpu:usb:0"``, the path of a TFLite delegate, or ``"auto"``
        for an Edge TPU if one is connected. It is loaded into this process, without a trial.
    upright : bool
        Rotate the crops of lying people, so that the refiner gets them upright.

    Raises
    ------
    ModelError
        If the model is unknown, broken or of no known family.
    DelegateError
        If the delegate cannot be loaded, or does not support the model's operators.
    UsageError
        If the policy does not suit the model.
    """

    def __init__(
        self,
        model: str | Path = "auto",
        *,
        policy: PolicyName = "auto",
        threads: int = 0,
        interpreters: int = 1,
        limits: Limits | None = None,
        delegate: str | Plugin = "cpu",
        upright: bool = True,
    ) -> None:
        plugin = _plugin_of(delegate) if isinstance(delegate, str) else delegate
        model_set = catalog.model_set(str(model))
        if policy == "refine":
            model_set = model_set.with_refiner()
        self.limits = limits or Limits()
        self._costs_s: list[float] = []
        self._lock = threading.Lock()
        self.networks = [
            Network(
                choice,
                threads,
                plugin,
                interpreters=interpreters,
                shaped=choice is model_set.refiner,
            )
            for choice in model_set.members
        ]
        self.interpreters = interpreters if self.engine.plugin is None else 1
        """Maximum number of concurrent inferences, of all networks together."""

        self.detector_times = Durations()
        """Durations of the first network's inferences."""

        self._slots = threading.BoundedSemaphore(self.interpreters)
        self._executor = _executor(self.interpreters) if len(self.networks) > 1 else None
        one = [network.decoder.people == 1 for network in self.networks]
        self.policy = policies.choose(
            policy,
            model_set.name,
            one,
            refines=model_set.refiner is not None,
            shapes=self.networks[-1].shapes,
            upright=upright,
        )
        self.name = model_set.name
        """Name of the model, or of all models together."""

    @property
    def min_pose_score(self) -> float:
        """The model's own minimum score of a person, used where the limits set none."""
        refines = self.policy.name == "refine"
        return catalog.REFINED_SCORE if refines else self.networks[0].min_pose_score

    @property
    def engine(self) -> AnyInterpreter:
        """The first network's engine; the only one unless the policy is `refine`."""
        return self.networks[0].engine

    @property
    def decoder(self) -> decoders.Decoder:
        """The first network's decoder."""
        return self.networks[0].decoder

    @property
    def model(self) -> ModelInfo:
        """Description of the first network."""
        return self.engine.info

    @property
    def uses_tracks(self) -> bool:
        """Whether `prepare` uses tracks; if not, only places of fallen people and candidates."""
        return not isinstance(self.policy, Whole)

    def estimate(self, image: Image, *, limits: Limits | None = None) -> list[Pose]:
        """Return the people in an image.

        Parameters
        ----------
        image : (height, width, 3)
            RGB, uint8. Images read by OpenCV are BGR; convert them first.
        limits : Limits, optional
            Limits for this image, in place of the default ones.

        Returns
        -------
        list of Pose
            In pixels of the image, best first; empty if there is no person.
        """
        limits = self._resolve_limits(limits)
        inputs = self.prepare(image)
        found = self._merge_results(inputs, self.infer(inputs), limits)
        if crops := self.policy.refine_crops(_image_size(image), found):
            seen = self._refine(image, crops, limits)
            if turned := self.policy.turned_crops(seen):
                seen += self._refine(image, turned, limits)
            found = self.policy.merge(seen)
        return _within_limits(found, limits)

    def prepare(self, image: Picture, people: Sequence[Pose] = (), turn: int = 0) -> ModelInputs:
        """Return the model inputs of a frame. Thread-safe.

        Parameters
        ----------
        image : (height, width, 3)
            RGB, uint8; or a decoded picture.
        people : sequence of Pose
            Poses of tracked people, predicted for this frame.
        turn : int
            Number of the frame. Selects the people to refine where not all can be.
        """
        _check_image(image)
        return self._make_inputs(image, self.policy.crops(_image_size(image), people, turn))

    def infer(self, inputs: ModelInputs) -> list[Outputs]:
        """Run the networks once per crop. Thread-safe.

        With several interpreters, the crops of one frame are inferred concurrently.
        """
        if self._executor is None or len(inputs.crops) == 1:
            return [self._infer_inputs(look) for look in inputs.crops]
        return list(self._executor.map(self._infer_inputs, inputs.crops))

    def _infer_inputs(self, look: ModelInput) -> Outputs:
        with self._slots:
            started_ns = time.monotonic_ns()
            outputs = self.networks[look.crop.network].engine.infer(look.take())
        if not look.crop.network:
            self.detector_times.add(time.monotonic_ns() - started_ns)
        return outputs

    def decode(
        self, inputs: ModelInputs, outputs: Sequence[Outputs], *, limits: Limits | None = None
    ) -> list[Pose]:
        """Decode the networks' outputs to poses in pixels of the image. Thread-safe.

        With the policy `refine`, candidates below the minimum score follow the people.
        Passed to `prepare` as `CandidatePose`, they are refined.
        """
        limits = self._resolve_limits(limits)
        people = self._merge_results(inputs, outputs, limits)
        found = _within_limits(people, limits)
        if self.policy.name == "refine":
            found += [pose for pose in people if CANDIDATE_SCORE <= pose.score < limits.least]
        return found

    def warm_up(self) -> None:
        """Run the networks once on a black image, since the first inference is slow."""
        for network in self.networks:
            network.engine.warm_up()

    def set_frame_budget(self, fps: float) -> None:
        """Limit detections and refinements per frame to the time available at this rate."""
        if isinstance(self.policy, Whole):
            every = policies.search_interval(1 / fps)
            self.policy = replace(self.policy, search_every=every)
        if isinstance(self.policy, Refine):
            self._costs_s = self._costs_s or [
                median_ms(net.engine.warm_up, TIMED_RUNS) / 1000 / self.interpreters
                for net in self.networks
            ]
            *detectors, refiner = self._costs_s
            before = self.policy
            self.policy = policies.with_frame_budget(
                before, 1 / fps, detect_s=sum(detectors), refine_s=refiner
            )
            if self.policy != before:
                log.info("model: %s", self.policy.description)

    def _resolve_limits(self, limits: Limits | None) -> Limits:
        limits = limits or self.limits
        return replace(limits, min_pose_score=limits.within(self.min_pose_score))

    def _make_inputs(self, image: Picture, crops: Sequence[Crop]) -> ModelInputs:
        return ModelInputs(
            tuple(self._network_at(crop.network).prepare(image, crop) for crop in crops)
        )

    def _network_at(self, index: int) -> Network:
        """Return a network; the additional one for searches is loaded on first use."""
        with self._lock:
            if index == len(self.networks):
                choice = catalog.choose(catalog.REFINER)
                self.networks.append(Network(choice, self.engine.threads))
            return self.networks[index]

    def _merge_results(
        self, inputs: ModelInputs, outputs: Sequence[Outputs], limits: Limits
    ) -> list[Pose]:
        return self.policy.merge(self._seen(inputs, outputs, limits))

    def _refine(self, image: Image, crops: Sequence[Crop], limits: Limits) -> list[CropResult]:
        inputs = self._make_inputs(image, crops)
        return self._seen(inputs, self.infer(inputs), limits)

    def _seen(
        self, inputs: ModelInputs, outputs: Sequence[Outputs], limits: Limits
    ) -> list[CropResult]:
        return [
            self._decode_crops(look, said, limits)
            for look, said in zip(inputs.crops, outputs, strict=True)
        ]

    def _decode_crops(self, look: ModelInput, outputs: Outputs, limits: Limits) -> CropResult:
        if look.crop.person is not None:
            limits = Limits(max_people=1, min_pose_score=0)
        elif self.policy.name == "refine":
            limits = replace(
                limits,
                max_people=CANDIDATES * limits.max_people,
                min_pose_score=CANDIDATE_SCORE,
            )
        network = self.networks[look.crop.network]
        found = network.decoder.decode(outputs, limits)
        if look.crop.person is None and self.policy.name == "refine":
            factor = catalog.REFINED_SCORE / network.min_pose_score
            found = [replace(pose, score=min(1.0, factor * pose.score)) for pose in found]
        return CropResult(look.crop, to_frame(found, look.letterbox))


def _executor(interpreters: int) -> "ThreadPoolExecutor | None":
    """Return an executor for concurrent inference of one frame's crops; None if not needed."""
    if interpreters == 1:
        return None
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(interpreters, thread_name_prefix="looks")


def _plugin_of(delegate: str) -> Plugin | None:
    named = delegates.named(delegate)
    return None if delegate == "auto" and named.absent() else named.plugin


def to_frame(poses: Sequence[ModelPose], letterbox: Letterbox) -> list[Pose]:
    """Return people in frame pixels from those in model pixels."""
    if not poses:
        return []
    keypoints = np.array([pose.keypoints for pose in poses])
    keypoints[..., :2] = letterbox.to_frame(keypoints[..., :2])
    return [
        Pose(
            points,
            pose.score,
            box_around(points) if pose.box is None else letterbox.box_to_frame(pose.box),
        )
        for pose, points in zip(poses, keypoints, strict=True)
    ]


def _within_limits(poses: Sequence[Pose], limits: Limits) -> list[Pose]:
    sure = [pose for pose in poses if pose.score >= limits.least]
    return sure[: 1 if limits.single else limits.max_people]


def _image_size(image: Picture) -> Size:
    return Size(image.shape[1], image.shape[0])


def _check_image(image: Picture) -> None:
    if hasattr(image, "planes"):
        return
    found = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}".strip()
    if getattr(image, "ndim", 0) != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        msg = f"picture is {found}; expected uint8 (height, width, 3), RGB"
        raise ValueError(msg)
    if 0 in image.shape:
        msg = f"picture is empty: {image.shape}"
        raise ValueError(msg)
