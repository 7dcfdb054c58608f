// The name of a region goes where its box is; the server puts it there itself. args: label; cb_obj is the box
label.setv({x: cb_obj.left, y: cb_obj.top}, {sync: false})
