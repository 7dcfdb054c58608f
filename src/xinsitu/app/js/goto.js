// The server wants a frame shown: the slider is the one place that says which frame it is.
// args: channel, slider
slider.value = Math.min(Math.max(channel.goto[0], slider.start), slider.end)
