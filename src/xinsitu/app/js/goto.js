// The server wants a frame shown: the slider is the one place that says which frame it is. The newest one, which nobody
// asked for, is left where somebody has gone back since, of which the server had not heard.
// args: channel, slider
const [frame, backs] = channel.goto
if (backs < 0 || backs === (channel._pump?.backs ?? 0)) slider.value = Math.min(Math.max(frame, slider.start), slider.end)
