"""Backbone: a network to monitor, and what one must know to feed it."""

import copy
import hashlib
import os
from functools import cached_property

import torch

from skfakespotter.backbones._folding import fold_batch_norms

LARGEST_BATCH = 64  # pictures
REUSED_BYTES = 2**25  # the C library's largest block that it keeps for the next layer


class WeightsError(ValueError):
    """A weight file that does not fit its network.

    Parameters
    ----------
    path : path
        The file.
    reason : str
        What is wrong and what was expected.
    key : str, default=None
        The layer or key concerned.
    """

    def __init__(self, path, reason, key=None):
        super().__init__(os.fspath(path), reason, key)

    def __str__(self):
        path, reason, key = self.args
        return f"{path!r}{f', layer {key!r}' if key else ''}: {reason}"


class Backbone:
    """A face-recognition network with its input format.

    Parameters
    ----------
    name : str
        What to call it in messages.
    module : torch.nn.Module
        The network. It is monitored in evaluation mode.
    input_size : (int, int), default=None
        Height and width of the pictures it takes, in pixels. None: it takes arrays of
        numbers as they are, or pictures of any one size.
    crop : float, default=1.0
        Part of the shorter side that is kept of pictures of another size (a centre crop).
    template : str, default=None
        The alignment that the network was trained with, for ``FaceAligner(template=...)``:
        "dlib", "arcface", "sphereface", "vggface2"; None when it is unknown.
    mean, scale : float or sequence of 3 floats, default=0.0 and 1.0
        The network sees ``(pixels - mean) / scale``, pixels from 0 to 255, per channel in
        the network's channel order.
    channel_order : "RGB" or "BGR", default="RGB"
        Order in which the network takes the channels.
    license, source : str, default=""
        License and origin of the weights.

    Attributes
    ----------
    fingerprint : str
        SHA-256 over the input format, the layers and the weights, in hexadecimal. Two
        backbones with one fingerprint give one result.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.backbones import Backbone
    >>> Backbone("toy", nn.Conv2d(3, 8, 3), input_size=(32, 32), scale=255.0)
    <Backbone 'toy': 1 conv and fc layers, input (32, 32)>
    """

    def __init__(
        self,
        name,
        module,
        *,
        input_size=None,
        crop=1.0,
        template=None,
        mean=0.0,
        scale=1.0,
        channel_order="RGB",
        license="",
        source="",
    ):
        if channel_order not in ("RGB", "BGR"):
            raise ValueError(f"channel_order is {channel_order!r}: expected 'RGB' or 'BGR'.")
        self.name, self.module, self.input_size = name, module, input_size
        self.mean, self.scale, self.channel_order = mean, scale, channel_order
        self.license, self.source, self.crop = license, source, crop
        self.template = template
        self.recipe = None  # (spec, weights) once load_backbone made it
        self._on_device, self._folded, self._rows = {}, {}, {}
        self._needs_rows = False  # in memory; channels last is faster
        self._largest = 0  # bytes of the largest output for one picture, once it is known

    def __repr__(self):
        count = len(monitored_layers(self.module))
        size = f"input {self.input_size}" if self.input_size else "any input"
        return f"<Backbone {self.name!r}: {count} conv and fc layers, {size}>"

    def preprocess(self, pixels):
        """Turn pictures into the network's input, on the device where they lie.

        Parameters
        ----------
        pixels : Tensor of shape (n, 3, h, w), uint8
            RGB.

        Returns
        -------
        Tensor of shape (n, 3, h, w), float32
            Network input, channels last in memory unless the network cannot work so.
        """
        x = pixels.flip(1) if self.channel_order == "BGR" else pixels
        n, channels, height, width = x.shape
        # whole rows of pixels are long enough for vector instructions, three channels are not
        rows = x.permute(0, 2, 3, 1).reshape(n, height, width * channels).to(torch.float32)
        mean, scale = self._per_row(width, channels, x.device)
        rows.sub_(mean).div_(scale)
        x = rows.view(n, height, width, channels).permute(0, 3, 1, 2)
        return x.contiguous() if self._needs_rows else x

    def _per_row(self, width, channels, device):
        """Give mean and scale of every value of a row; once, for a GPU waits for each copy."""
        key = (width, channels, device)
        if key not in self._rows:
            self._rows[key] = tuple(
                torch.as_tensor(v, dtype=torch.float32).expand(channels).repeat(width).to(device)
                for v in (self.mean, self.scale)
            )
        return self._rows[key]

    def on(self, device, size=None):
        """Give the network in evaluation mode on a device, in the fastest memory layout.

        Parameters
        ----------
        device : torch.device
            Where to run.
        size : (int, int), default=None
            Height and width of the pictures, where ``input_size`` does not say.

        Returns
        -------
        torch.nn.Module
            A copy that is made once per device; the module given to the constructor is
            never moved or changed.
        """
        if device not in self._on_device:
            module = copy.deepcopy(self.module).to(device).eval().requires_grad_(False)
            size = size or self.input_size
            if size is not None and not self._needs_rows:
                _lay_out(module, torch.channels_last)
                if self._fails_on_views(module, size, device):
                    _lay_out(module, torch.contiguous_format)
                    self._needs_rows = True
            self._on_device[device] = module
        return self._on_device[device]

    def best_batch(self, device, size=None):
        """Choose how many pictures to run at a time.

        On a CPU the largest output of a layer stays below 32 MiB: beyond that, the C library
        fetches fresh memory from the system for every layer, which takes up to half the time.

        Parameters
        ----------
        device, size
            As for :meth:`on`.

        Returns
        -------
        int
            A power of two, at most 64.
        """
        self.on(device, size)
        if device.type != "cpu" or not self._largest:
            return LARGEST_BATCH
        fitting = max(1, REUSED_BYTES // self._largest)
        return min(LARGEST_BATCH, 1 << (fitting.bit_length() - 1))

    def _fails_on_views(self, module, size, device):
        """Try whether the network flattens maps by ``view``, which needs whole rows in memory."""
        trial = share_weights(module)
        for part in trial.modules():  # nobody is to hear of the trial
            part._forward_hooks.clear()
            part._forward_pre_hooks.clear()
            part.register_forward_hook(self._measure)
        x = torch.zeros(1, 3, *size, device=device).contiguous(memory_format=torch.channels_last)
        try:
            with torch.inference_mode():
                trial(x)
        except Exception as error:  # any other comes again, where the picture is known
            return "view size is not compatible" in str(error)
        return False

    def _measure(self, part, inputs, output):
        if isinstance(output, torch.Tensor):
            self._largest = max(self._largest, output.numel() * output.element_size())

    def folded_on(self, device):
        """Give the network with its batch normalisations folded into the convolutions.

        Parameters
        ----------
        device : torch.device
            Where to run.

        Returns
        -------
        FoldedNetwork or None
            Made once per device; None when there is nothing to fold.
        """
        if device not in self._folded:
            folded = fold_batch_norms(self.on(device))
            if folded is not None:
                layout = torch.contiguous_format if self._needs_rows else torch.channels_last
                _lay_out(folded.module.requires_grad_(False), layout)
            self._folded[device] = folded
        return self._folded[device]

    @cached_property
    def fingerprint(self):
        """SHA-256 over the input format, the layers and the weights, in hexadecimal."""
        digest = hashlib.sha256()
        format_ = (self.input_size, self.mean, self.scale, self.channel_order)
        format_ += (self.crop,) if self.crop != 1.0 else ()
        digest.update(repr((format_, str(self.module))).encode())
        for key, tensor in self.module.state_dict().items():
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def __deepcopy__(self, memo):
        return self  # clone() must not copy the weights; nothing here changes after creation

    def __reduce__(self):
        """Pickle the recipe instead of the weights, where there is one."""
        if self.recipe is None:
            return super().__reduce__()
        from skfakespotter.backbones._registry import reload_backbone

        return reload_backbone, (*self.recipe, self.fingerprint)

    def __getstate__(self):
        return {**self.__dict__, "_on_device": {}, "_folded": {}, "_rows": {}}


def share_weights(module):
    """Copy a network, but not its weights.

    Parameters
    ----------
    module : torch.nn.Module
        A network.

    Returns
    -------
    torch.nn.Module
        A copy with the same tensors in memory, whose hooks and flags are its own.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _lay_out(module, layout):
    for parameter in module.parameters():
        if parameter.ndim == 4:  # module.to() would try kernels of Conv3d too, and fail
            parameter.data = parameter.data.contiguous(memory_format=layout)


def monitored_layers(module):
    """Find the convolutional and fully-connected layers, in order of definition.

    Parameters
    ----------
    module : torch.nn.Module
        A network.

    Returns
    -------
    dict of str to torch.nn.Module
        Layers by qualified name.
    """
    kinds = (torch.nn.modules.conv._ConvNd, torch.nn.Linear)
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}
