"""A U-Net: takes the noise away that was added to grey pieces of photographs."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_sample_images

from common import Made, fit, generator

SIDE = 32
NOISE = 15


def double(x, filters: int, name: str):
    for part in "ab":
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}{part}")(x)
        x = layers.BatchNormalization(name=f"{name}{part}_norm")(x)
        x = layers.Activation("relu", name=f"{name}{part}_relu")(x)
    return x


def build() -> keras.Model:
    noisy = keras.Input((SIDE, SIDE, 1), name="noisy")
    top = double(noisy, 16, "down1")
    middle = double(layers.MaxPooling2D(name="pool1")(top), 24, "down2")
    bottom = double(layers.MaxPooling2D(name="pool2")(middle), 40, "bottom")
    x = layers.Conv2DTranspose(24, 2, strides=2, name="up2")(bottom)
    x = double(layers.Concatenate(name="skip2")([x, middle]), 24, "up2")
    x = layers.Conv2DTranspose(16, 2, strides=2, name="up1")(x)
    x = double(layers.Concatenate(name="skip1")([x, top]), 16, "up1")
    noise = layers.Conv2D(1, 3, padding="same", name="noise")(x)
    return keras.Model(noisy, layers.Subtract(name="clean")([noisy, noise]), name="denoiser")


def patches(image: np.ndarray, step: int) -> np.ndarray:
    view = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE))[::step, ::step]
    return view.reshape(-1, SIDE, SIDE, 1)


def with_noise(clean: np.ndarray, rng) -> np.ndarray:
    return np.clip(np.rint(clean + rng.normal(0, NOISE, clean.shape)), 0, 255).astype(np.uint8)


def make() -> Made:
    rng = generator(5)
    grey = [np.rint(image @ [0.299, 0.587, 0.114]).astype(np.uint8) for image in load_sample_images().images]
    # The left three quarters of both photographs are trained on, what is right of them is the test.
    border = 480
    train = np.concatenate([patches(image[:, :border], 10) for image in grey])
    test = np.concatenate([patches(image[:, border:], 32) for image in grey])
    train, test = rng.permutation(train), rng.permutation(test)[:96]
    x = with_noise(train, rng)
    print(len(train), len(test))
    model = build()
    fit(model, x / np.float32(255), train / np.float32(255), loss="mse", epochs=8, batch=32)
    noisy = with_noise(test, rng)
    return Made(model, {"noisy": x[:256]}, {"noisy": noisy}, (test / 255).astype(np.float16), "psnr")
