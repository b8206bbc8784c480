"""Named tensors -> weight matrices with their kinds."""
