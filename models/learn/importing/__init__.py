"""Labelled pictures in other people's layouts, brought into ours: one file for each layout."""
