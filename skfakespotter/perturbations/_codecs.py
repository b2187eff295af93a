"""Codecs: WebP, AVIF and a frame of H.264, as transformers."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from sklearn.utils._param_validation import Interval

from skfakespotter.perturbations._transformers import Perturb, Perturbation

_QUALITY = [Interval(Integral, 0, 100, closed="both")]


class WebPCompression(Perturbation):
    """Compress as lossy WebP and decode again.

    Parameters
    ----------
    quality : int, default=75
        From 0 (strongest) to 100; Pillow's default encoder settings otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import WebPCompression
    >>> WebPCompression(20).transform([np.full((16, 16, 3), 90, np.uint8)])[0].shape
    (16, 16, 3)
    """

    intensity = "quality"
    _parameter_constraints: ClassVar = {"quality": _QUALITY}

    def __init__(self, quality: int = 75) -> None:
        self.quality = quality

    def _make(self) -> Perturb:
        return _through_file("WEBP", "webp", quality=int(self.quality))


class AVIFCompression(Perturbation):
    """Compress as AVIF and decode again.

    Parameters
    ----------
    quality : int, default=60
        From 0 (strongest) to 100; Pillow's default encoder settings otherwise (4:2:0).

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import AVIFCompression
    >>> AVIFCompression(20).transform([np.full((16, 16, 3), 90, np.uint8)])[0].shape
    (16, 16, 3)
    """

    intensity = "quality"
    _parameter_constraints: ClassVar = {"quality": _QUALITY}

    def __init__(self, quality: int = 60) -> None:
        self.quality = quality

    def _make(self) -> Perturb:
        return _through_file("AVIF", "avif", quality=int(self.quality))


class H264Compression(Perturbation):
    """Compress as the one frame of an H.264 clip and decode again; needs PyAV.

    Parameters
    ----------
    crf : int, default=23
        Constant rate factor of x264, from 0 (weakest) to 51; 23 is its default, and
        FaceForensics++ has 23 and 40. Chroma is halved (4:2:0); sides are padded to even
        numbers and cut again.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import H264Compression
    >>> H264Compression(40).transform([np.full((17, 16, 3), 90, np.uint8)])[0].shape
    (17, 16, 3)
    """

    intensity = "crf"
    _parameter_constraints: ClassVar = {"crf": [Interval(Integral, 0, 51, closed="both")]}

    def __init__(self, crf: int = 23) -> None:
        self.crf = crf

    def _make(self) -> Perturb:
        try:
            import av
        except ImportError as error:
            message = 'H264Compression needs PyAV: pip install "skfakespotter[video]"'
            raise ImportError(message) from error
        crf = str(int(self.crf))

        def perturb(image: NDArray) -> NDArray:
            height, width = image.shape[:2]
            even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            file = BytesIO()
            with av.open(file, "w", format="mp4") as output:
                stream: Any = output.add_stream("libx264", rate=Fraction(25))
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt, stream.options = "yuv420p", {"crf": crf}
                output.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
                output.mux(stream.encode())
            file.seek(0)
            with av.open(file, "r") as container:
                decoded = next(container.decode(video=0)).to_ndarray(format="rgb24")
            return np.ascontiguousarray(decoded[:height, :width])

        return perturb


def _through_file(kind: str, feature: str, **options: Any) -> Perturb:
    """Return a function that encodes a picture and decodes it again."""
    if not features.check(feature):
        raise ImportError(f"this Pillow was built without {kind}: pip install --upgrade pillow")

    def perturb(image: NDArray) -> NDArray:
        file = BytesIO()
        Image.fromarray(image).save(file, kind, **options)
        with Image.open(file) as decoded:
            return np.array(decoded.convert("RGB"))

    return perturb
