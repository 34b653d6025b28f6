"""The U-Net of right.py, written from Ho et al. 2020, appendix B, and diffusers' `config.json`: one sample at
a time, an image being a list of channels of rows of numbers. Forward only.
"""

import json
import math
import struct


class Network:
    """A config and its weights, with right.py's numbers and faults."""

    def __init__(self, request, tools):
        self.R, self.exp, self.sqrt, self.fault = tools.R, tools.exp, tools.sqrt, tools.fault
        self.c = request["config"]
        with open(request["weights"], "rb") as file:
            data = file.read()
        start = 8 + struct.unpack("<Q", data[:8])[0]
        self.p = {}
        for name, entry in json.loads(data[8:start]).items():
            if name == "__metadata__":
                continue
            first, end = entry["data_offsets"]
            flat = struct.unpack(f"<{(end - first) // 4}f", data[start + first : start + end])
            self.p[name] = nested([self.R(v) for v in flat], entry["shape"])

    # Layers

    def silu(self, v):
        return v / (1 + self.exp(-v)) if v > -80 else self.R(0)

    def activated(self, image):
        return [[[self.silu(v) for v in row] for row in plane] for plane in image]

    def linear(self, name, v):
        weight, bias = self.p[name + ".weight"], self.p[name + ".bias"]
        return [sum((w * x for w, x in zip(row, v)), b) for row, b in zip(weight, bias)]

    def conv(self, name, image, stride=1, padding=(1, 1)):
        weight, bias = self.p[name + ".weight"], self.p[name + ".bias"]
        k = len(weight[0][0])
        before, after = padding if k > 1 else (0, 0)
        H, W = len(image[0]), len(image[0][0])
        out = []
        for kernel, b in zip(weight, bias):
            rows = []
            for i in range(0, H + before + after - k + 1, stride):
                row = []
                for j in range(0, W + before + after - k + 1, stride):
                    total = b
                    for plane, taps in zip(image, kernel):
                        for a in range(k):
                            y = i + a - before
                            if not 0 <= y < H:
                                continue
                            for t in range(k):
                                x = j + t - before
                                if 0 <= x < W:
                                    total = total + plane[y][x] * taps[a][t]
                    row.append(total)
                rows.append(row)
            out.append(rows)
        return out

    def norm(self, name, image, groups=None):
        weight, bias = self.p[name + ".weight"], self.p[name + ".bias"]
        groups = groups or self.c["norm_num_groups"]
        if self.fault("unet-one-group", "unet"):
            groups = 1
        eps = self.c["norm_eps"]
        if self.fault("unet-eps", "unet"):
            eps = 1e-5
        size = len(image) // groups
        out = []
        for g in range(groups):
            planes = image[g * size : (g + 1) * size]
            values = [v for plane in planes for row in plane for v in row]
            mean = sum(values, self.R(0)) / len(values)
            variance = sum(((v - mean) * (v - mean) for v in values), self.R(0)) / len(values)
            if self.fault("unet-unbiased-variance", "unet") and len(values) > 1:
                variance = variance * len(values) / (len(values) - 1)
            inverse = 1 / self.sqrt(variance + self.R(eps))
            for c, plane in enumerate(planes, g * size):
                w, b = weight[c], bias[c]
                out.append([[(v - mean) * inverse * w + b for v in row] for row in plane])
        return out

    def add(self, a, b, scale=1):
        return [
            [[(x + y) / scale for x, y in zip(r, s)] for r, s in zip(p, q)] for p, q in zip(a, b)
        ]

    def doubled(self, image):
        if self.fault("unet-tiled-upsampling", "unet"):
            return [[row * 2 for row in plane] * 2 for plane in image]
        return [[[v for v in row for _ in "xx"] for row in plane for _ in "yy"] for plane in image]

    def pooled(self, image):
        return [
            [
                [(a + b + c + d) / 4 for a, b, c, d in zip(r[::2], r[1::2], s[::2], s[1::2])]
                for r, s in zip(plane[::2], plane[1::2])
            ]
            for plane in image
        ]

    # Blocks

    def sinusoids(self, t):
        dim, shift = self.c["block_out_channels"][0], self.c["freq_shift"]
        if self.fault("unet-freq-shift", "unet"):
            shift = 0
        half = dim // 2
        angles = [self.R(t) * self.exp(self.R(-math.log(10000) * i / (half - shift))) for i in range(half)]
        sines, cosines = [self.R(math.sin(a)) for a in angles], [self.R(math.cos(a)) for a in angles]
        first = self.c["flip_sin_to_cos"]
        if self.fault("unet-sin-cos", "unet"):
            first = False
        return (cosines + sines if first else sines + cosines) + [self.R(0)] * (dim % 2)

    def embedded(self, name, t):
        inner = [self.silu(v) for v in self.linear(name + ".linear_1", self.sinusoids(t))]
        return self.linear(name + ".linear_2", inner)

    def resnet(self, name, h, e, resample=None, scale=1):
        moved = resample or (lambda image: image)
        x = self.conv(name + ".conv1", moved(self.activated(self.norm(name + ".norm1", h))))
        time = self.linear(name + ".time_emb_proj", e)
        C = len(x)
        if self.c.get("resnet_time_scale_shift") == "scale_shift":
            x = self.norm(name + ".norm2", x)
            one = 0 if self.fault("unet-scale-without-1", "unet") else 1
            x = [
                [[v * (one + time[c]) + time[C + c] for v in row] for row in plane]
                for c, plane in enumerate(x)
            ]
        else:
            x = [[[v + time[c] for v in row] for row in plane] for c, plane in enumerate(x)]
            x = self.norm(name + ".norm2", x)
        x = self.conv(name + ".conv2", self.activated(x))
        h = moved(h)
        if name + ".conv_shortcut.weight" in self.p:
            h = self.conv(name + ".conv_shortcut", h)
        return self.add(h, x, scale)

    def attention(self, name, h, groups, scale=1):
        x = self.norm(name + ".group_norm", h, groups) if groups else h
        W = len(h[0][0])
        tokens = [list(token) for token in zip(*([v for row in plane for v in row] for plane in x))]
        q, k, v = ([self.linear(f"{name}.to_{n}", t) for t in tokens] for n in "qkv")
        C, D = len(h), self.c["attention_head_dim"] or len(h)
        if self.fault("unet-one-head", "unet"):
            D = C
        factor = self.R(1 / math.sqrt(D))
        if self.fault("unet-unscaled", "unet"):
            factor = self.R(1)
        out = [[] for _ in tokens]
        for at in range(0, C, D):
            part = slice(at, at + D)
            for l, query in enumerate(q):
                dots = [sum((a * b for a, b in zip(query[part], key[part])), self.R(0)) for key in k]
                scores = [factor * s for s in dots]
                powers = [self.exp(s - max(scores)) for s in scores]
                total = sum(powers, self.R(0))
                shares = [p / total for p in powers]
                out[l] += [
                    sum((s * value[d] for s, value in zip(shares, v)), self.R(0))
                    for d in range(at, at + D)
                ]
        out = [self.linear(name + ".to_out.0", token) for token in out]
        image = [[list(row) for row in rows(list(plane), W)] for plane in zip(*out)]
        return self.add(h, image, scale)

    def run(self, x, t, label):
        c = self.c
        if self.fault("unet-t-from-1", "unet"):
            t = t + 1
        e = self.embedded("time_embedding", t)
        if c.get("class_embed_type") == "timestep":
            own = self.embedded("class_embedding", label)
        elif c.get("class_embed_type") == "identity":
            own = label
        else:
            own = self.p["class_embedding.weight"][label] if c.get("num_class_embeds") else None
        if own is not None and not self.fault("unet-class-ignored", "unet"):
            e = [a + b for a, b in zip(e, own)]
        if not self.fault("unet-embedding-not-activated", "unet"):
            e = [self.silu(v) for v in e]
        if c["center_input_sample"]:
            x = [[[2 * v - 1 for v in row] for row in plane] for plane in x]
        h = self.conv("conv_in", x)
        skips, levels, groups = [h], len(c["block_out_channels"]), c["norm_num_groups"]
        pad = (1, 1) if c["downsample_padding"] == 1 else (0, 1)
        if self.fault("unet-downsample-padding", "unet"):
            pad = (1, 1)
        for level, kind in enumerate(c["down_block_types"]):
            block = f"down_blocks.{level}"
            for i in range(c["layers_per_block"]):
                h = self.resnet(f"{block}.resnets.{i}", h, e)
                if kind.startswith("Attn"):
                    h = self.attention(f"{block}.attentions.{i}", h, groups)
                skips.append(h)
            if level == levels - 1:
                continue
            name = f"{block}.downsamplers.0"
            if name + ".conv.weight" in self.p:
                h = self.conv(name + ".conv", h, 2, pad)
            else:
                h = self.resnet(name, h, e, self.pooled)
            skips.append(h)
        scale = self.R(c["mid_block_scale_factor"])
        if self.fault("unet-mid-scale", "unet"):
            scale = 1
        h = self.resnet("mid_block.resnets.0", h, e, None, scale)
        if c["add_attention"]:
            normed = "mid_block.attentions.0.group_norm.weight" in self.p
            own = (c.get("attn_norm_num_groups") or groups) if normed else None
            h = self.attention("mid_block.attentions.0", h, own, scale)
        h = self.resnet("mid_block.resnets.1", h, e, None, scale)
        for level, kind in enumerate(c["up_block_types"]):
            block = f"up_blocks.{level}"
            for i in range(c["layers_per_block"] + 1):
                skip = skips.pop()
                h = skip + h if self.fault("unet-skip-first", "unet") else h + skip
                h = self.resnet(f"{block}.resnets.{i}", h, e)
                if kind.startswith("Attn"):
                    h = self.attention(f"{block}.attentions.{i}", h, groups)
            if level == levels - 1:
                continue
            name = f"{block}.upsamplers.0"
            if name + ".conv.weight" in self.p:
                h = self.conv(name + ".conv", self.doubled(h))
            else:
                h = self.resnet(name, h, e, self.doubled)
        return self.conv("conv_out", self.activated(self.norm("conv_norm_out", h)))


def rows(values, size):
    return [values[i : i + size] for i in range(0, len(values), size)]


def nested(flat, shape):
    for size in reversed(shape[1:]):
        flat = rows(flat, size)
    return flat


def flattened(value):
    return [v for part in value for v in flattened(part)] if isinstance(value, list) else [value]


def unet(request, tools):
    """The result of a request. `tools` are right.py's R, exp, sqrt, fault and Refused."""
    if request.get("out") is not None:
        raise tools.Refused("unsupported", "no gradients")
    network, R = Network(request, tools), tools.R
    shape = request["x"]["shape"]
    N = shape[0]
    images = nested([R(v) for v in request["x"]["data"]], shape)
    times = request["timesteps"]
    times = times if isinstance(times, list) else [times] * N
    labels = request.get("classLabels") or [None] * N
    if isinstance(labels, dict):
        labels = nested([R(v) for v in labels["data"]], labels["shape"])
    output = [network.run(x, t, label) for x, t, label in zip(images, times, labels)]
    data = flattened(output)
    result = {
        "output": {
            "shape": [N, len(output[0]), *shape[2:]],
            "data": [float(v) for v in data],
        }
    }
    if request.get("target") is not None:
        errors = [v - R(t) for v, t in zip(data, request["target"]["data"])]
        result["loss"] = float(sum((d * d for d in errors), R(0)) / len(errors))
    return result
