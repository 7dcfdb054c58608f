// args: slider, frames
slider.value = Math.min(Math.max(slider.value + frames, slider.start), slider.end)
