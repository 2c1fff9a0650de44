"""What people look at: sheets of samples, boxes and maps drawn on images."""
